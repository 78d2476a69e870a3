# Varnish for `compare`. Its built-in rules do the rest: what says `no-store` is not kept.
vcl 4.1;

backend default {
    .host = "@ORIGIN_HOST@";
    .port = "@ORIGIN_PORT@";
}

sub vcl_recv {
    # Forwarded: without a look into the cache and without a busy object that others wait for.
    if (req.url !~ "^/(hit|gzip|copy|rescue)/") {
        return (pass);
    }
}

sub vcl_backend_response {
    if (bereq.url ~ "^/rescue/") {
        # Fresh for a second, then served stale; an error never replaces a good copy.
        if (beresp.status >= 500 && bereq.is_bgfetch) {
            return (abandon);
        }
        set beresp.ttl = 1s;
        set beresp.grace = 1h;
    }
}
