# Varnish for `surge`: five seconds fresh, an hour of grace; an error never replaces a good copy.
# Its built-in rules pass requests with cookies by the cache.
vcl 4.1;

backend default {
    .host = "@ORIGIN_HOST@";
    .port = "@ORIGIN_PORT@";
    .connect_timeout = 2s;
    .first_byte_timeout = 15s;
}

sub vcl_backend_response {
    if (beresp.status >= 500) {
        if (bereq.is_bgfetch) {
            return (abandon);
        }
        set beresp.ttl = 0s;
        set beresp.grace = 0s;
        return (deliver);
    }
    if (!beresp.uncacheable) {
        set beresp.ttl = 5s;
        set beresp.grace = 1h;
    }
}
