// Many pages of an Express application with express-session as its manual shows it: a session for
// everybody, in memory. Each page holds a secret of its session.

import { randomBytes } from "node:crypto";
import express from "express";
import session from "express-session";

const port = Number(process.argv[2]);
const app = express();
app.use(session({ secret: "keyboard cat", resave: false, saveUninitialized: true }));
app.use(express.urlencoded({ extended: false }));

function page(request, response) {
  request.session.secret ??= randomBytes(16).toString("hex");
  const { secret, user } = request.session;
  const items = Array.from({ length: 40 }, (_, item) => `<li>Article ${item + 1} on ${request.path}</li>`);
  response.send(`<!doctype html>
<html>
<title>Shop</title>
<h1>Hello, <b id="user">${user ?? "guest"}</b></h1>
<p>This is <b id="page">${request.path}</b>, and your secret is <b id="secret">${secret}</b>.</p>
<form method="post" action="/enter"><input name="user"></form>
<ul>
${items.join("\n")}
</ul>
</html>
`);
}

app.get("/page/:number", page);
app.get("/enter", page);
app.post("/enter", (request, response, next) => {
  request.session.regenerate((error) => {
    if (error) return next(error);
    request.session.user = request.body.user;
    response.redirect(303, "/page/0");
  });
});
app.listen(port, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${port}`));
