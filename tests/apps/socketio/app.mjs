// A socket.io server in its default settings, and a page beside it.

import { createServer } from "node:http";
import { Server } from "socket.io";

const port = Number(process.argv[2]);
const server = createServer((request, response) => {
  response.setHeader("Content-Type", "text/html");
  response.end(`<!doctype html><title>Chat</title><p>This is ${request.url}.</p></html>\n`);
});
const io = new Server(server);
io.on("connection", (socket) => {
  socket.on("say", (text, answer) => answer(text));
});
server.listen(port, "127.0.0.1", () => console.log(`http://127.0.0.1:${port}`));
