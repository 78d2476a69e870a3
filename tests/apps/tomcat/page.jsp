<%@ page contentType="text/html; charset=UTF-8" import="java.util.UUID" %><%--
Many pages of a Java application as Tomcat serves them: a session on each (JSESSIONID), which changes its
name at the login. Each page holds a secret of the session; /from says where a request comes from.
--%><%
String path = request.getRequestURI();
if (path.equals("/from")) {
    out.print("from " + request.getRemoteAddr());
    return;
}
if (request.getMethod().equals("POST")) {
    request.changeSessionId();
    session.setAttribute("user", request.getParameter("user"));
    response.sendRedirect("/page/0");
    return;
}
if (session.getAttribute("secret") == null) {
    session.setAttribute("secret", UUID.randomUUID().toString().replace("-", ""));
}
Object user = session.getAttribute("user");
%><!doctype html>
<html>
<title>Shop</title>
<h1>Hello, <b id="user"><%= user == null ? "guest" : user %></b></h1>
<p>This is <b id="page"><%= path %></b>, and your secret is <b id="secret"><%= session.getAttribute("secret") %></b>.</p>
<form method="post" action="/enter"><input name="user"></form>
<ul>
<% for (int item = 1; item <= 40; item++) { %>
<li>Article <%= item %> on <%= path %></li>
<% } %>
</ul>
</html>
