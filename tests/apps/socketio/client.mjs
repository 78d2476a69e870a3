// Clients of socket.io that poll and do nothing else, for some seconds: what each says comes back, and none
// is cut off. Prints what came of it as one line of JSON.

import { io } from "socket.io-client";

const [url, seconds, count] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const seen = { connected: 0, disconnects: 0, errors: 0, said: 0, answered: 0 };
let isOver = false;

function join(number) {
  const socket = io(url, { transports: ["polling"], forceNew: true });
  socket.on("connect", () => (seen.connected += 1));
  socket.on("disconnect", () => (seen.disconnects += isOver ? 0 : 1));
  socket.on("connect_error", () => (seen.errors += 1));
  // Half of them only listen: their polls last as long as the server lets them.
  const saying = setInterval(() => {
    if (number % 2 === 1) return;
    const text = `${number} ${seen.said}`;
    seen.said += 1;
    socket.emit("say", text, (answer) => (seen.answered += answer === text ? 1 : 0));
  }, 2000);
  return { saying, socket };
}

const clients = Array.from({ length: count }, (_, number) => join(number));
setTimeout(() => {
  clients.forEach(({ saying }) => clearInterval(saying));
  // What was said last may be on its way.
  setTimeout(() => {
    isOver = true;
    clients.forEach(({ socket }) => socket.disconnect());
    console.log(JSON.stringify(seen));
  }, 1500);
}, seconds * 1000);
