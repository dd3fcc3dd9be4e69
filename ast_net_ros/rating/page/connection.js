// Sends ratings to the server and keeps them until it has saved them.

const RETRY_MS = 1000;

export class Connection {
  #socket = null;
  #pending = new Map(); // number -> message that is not saved yet
  #number = 0;
  #over = false;

  // listener: {state, saved, unsaved, refused, finished, replaced: called with the message; lost}
  constructor(listener) {
    this.listener = listener;
    this.#open();
  }

  get unsaved() {
    return this.#pending.size;
  }

  get open() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  send(message) {
    const numbered = { number: ++this.#number, ...message };
    this.#pending.set(numbered.number, numbered);
    if (this.open) this.#socket.send(JSON.stringify(numbered));
  }

  #open() {
    const address = new URL("session", location.href);
    address.protocol = "ws:";
    this.#socket = new WebSocket(address);
    this.#socket.onmessage = (event) => this.#receive(JSON.parse(event.data));
    this.#socket.onclose = () => {
      if (this.#over) return;
      this.listener.lost();
      setTimeout(() => this.#open(), RETRY_MS);
    };
  }

  #receive(message) {
    if (message.type === "state") {
      this.listener.state(message);
      for (const waiting of this.#pending.values()) this.#socket.send(JSON.stringify(waiting));
      return;
    }
    this.#pending.delete(message.number); // also where it is unsaved, as on a full disk: the server keeps and saves it
    this.#over ||= message.type === "finished" || message.type === "replaced"; // by another tab
    this.listener[message.type](message);
  }
}
