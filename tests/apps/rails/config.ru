# Many pages as Rails applications have them: the whole session in an encrypted cookie that is another
# with each answer, the token of forms in the head of each page, masked anew each time. Each page holds a
# secret of its visitor's session.

require "rails"
require "action_controller/railtie"
require "securerandom"

class Shop < Rails::Application
  config.load_defaults 6.1
  config.root = ENV.fetch("APP_STATE")
  config.eager_load = false
  config.consider_all_requests_local = false
  config.hosts.clear
  config.secret_key_base = "known to every test" * 4
  config.session_store :cookie_store, key: "_shop_session"
  config.logger = Logger.new($stderr, level: Logger::ERROR)
end

class PagesController < ActionController::Base
  protect_from_forgery with: :exception

  PAGE = <<~HTML
    <!doctype html>
    <html>
    <head>
    <title>Shop</title>
    <%= csrf_meta_tags %>
    </head>
    <h1>Hello, <b id="user"><%= session[:user] || "guest" %></b></h1>
    <p>This is <b id="page"><%= request.path %></b>, and your secret is <b id="secret"><%= session[:secret] %></b>.</p>
    <%= form_tag "/enter" do %><input name="user"><% end %>
    <ul>
    <% 1.upto(40) do |item| %>
    <li>Article <%= item %> on <%= request.path %></li>
    <% end %>
    </ul>
    </html>
  HTML

  def page
    session[:secret] ||= SecureRandom.hex(16)
    render inline: PAGE
  end

  def enter
    reset_session
    session[:user] = params.require(:user)
    redirect_to "/page/0"
  end
end

Rails.application.initialize!
Rails.application.routes.draw do
  get "/page/:number", to: "pages#page"
  get "/enter", to: "pages#page"
  post "/enter", to: "pages#enter"
end

run Rails.application
