// The types of phoenix.js 1.7 and 1.8, as far as a page needs them. The package itself has none.

declare module "phoenix" {
  /** A value, or a function that gives the one of the moment, called at each connect or join. */
  type Given<T> = T | (() => T);

  /** The class of a transport: `Lapwing`, or what it makes by `Lapwing.with(…)`. */
  type Transport<Connection> = new (url: string, protocols?: string | string[]) => Connection;

  /** What is set of a `Socket`. Times are in milliseconds. */
  interface SocketOptions<Connection = unknown> {
    transport?: Transport<Connection>;
    /** Sent with each connect, in the query; `Mount::connect` sees them. */
    params?: Given<object>;
    /**
     * Sent with each connect, in a header or a subprotocol instead of the query, where it could be logged. It needs 1.8.0, and as a
     * function 1.8.9: the versions between send the function's own text.
     */
    authToken?: Given<string>;
    /** Until a push without a reply times out. Default: 10,000. */
    timeout?: number;
    /** The pause before the attempt to connect with this number. */
    reconnectAfterMs?: (tries: number) => number;
    /** The pause before the attempt to join again with this number. */
    rejoinAfterMs?: (tries: number) => number;
    /** Between two heartbeats. Not used with `Lapwing`, which has its own. Default: 30,000. */
    heartbeatIntervalMs?: number;
    /** Until phoenix.js gives up on its transport for its own long-poll. Leave it out with `Lapwing`. */
    longPollFallbackMs?: number;
    logger?: (kind: string, message: string, data: unknown) => void;
    debug?: boolean;
    binaryType?: "arraybuffer" | "blob";
    /** The version of the wire: `"1.0.0"` or `"2.0.0"`, which is the default. */
    vsn?: string;
    sessionStorage?: Pick<Storage, "getItem" | "setItem" | "removeItem">;
  }

  /** A message as `onMessage` gets it. */
  interface Message {
    topic: string;
    event: string;
    payload: any;
    ref: string | null;
    join_ref: string | null;
  }

  /** One connection to a mount, which channels share. `Connection` is an instance of its transport. */
  export class Socket<Connection = unknown> {
    /** `endPoint` is the mount's path or address: `"/socket"`, `"wss://chat.example/socket"`. */
    constructor(endPoint: string, options?: SocketOptions<Connection>);
    /** The instance of the transport, with `status()` if that is `Lapwing`; none before `connect()` and between two. */
    readonly conn: Connection | null | undefined;
    connect(): void;
    disconnect(callback?: () => void, code?: number, reason?: string): void;
    isConnected(): boolean;
    connectionState(): "connecting" | "open" | "closing" | "closed";
    /** A channel that is not joined yet. A function as `params` is called at each join. */
    channel(topic: string, params?: Given<object>): Channel;
    /** Called at each opening. Like the three below it returns what `off` takes. */
    onOpen(callback: () => void): string;
    onClose(callback: (event: any) => void): string;
    onError(callback: (error: any) => void): string;
    onMessage(callback: (message: Message) => void): string;
    off(refs: string[]): void;
    /** Measures a round trip; `false` without a connection. */
    ping(callback: (ms: number) => void): boolean;
    /** Sends a message of no channel, such as a new login (`Mount::on_token`). With `Lapwing`, `getToken` does that. */
    push(message: { topic: string; event: string; payload: object; ref: string; join_ref?: string }): void;
    /** A number for a message, which its reply has too. */
    makeRef(): string;
  }

  /** One membership of a topic. */
  export class Channel {
    readonly topic: string;
    readonly state: "closed" | "errored" | "joined" | "joining" | "leaving";
    readonly socket: Socket<any>;
    /** Joins, once per channel; after a loss it joins again by itself. */
    join(timeout?: number): Push;
    leave(timeout?: number): Push;
    /** Sends an event, now or once it has joined. */
    push(event: string, payload: object, timeout?: number): Push;
    /** Listens to an event; returns a number for `off`. The type of the payload is what the caller says it is. */
    on<Payload = any>(event: string, callback: (payload: Payload) => void): number;
    /** Listens no more: to all of an event, or to one of `on`. */
    off(event: string, ref?: number): void;
    /** Called when the channel crashed on the server, or lost its connection; it joins again by itself. */
    onError(callback: (reason?: any) => void): number;
    /** Called when the channel was left, or closed by the server; it stays closed. */
    onClose(callback: (payload?: any) => void): number;
  }

  /** A message under way, which may get a reply. */
  interface Push {
    /** `"ok"` and `"error"` are the server's, `"timeout"` says that no reply came in time. */
    receive<Response = any>(status: string, callback: (response: Response) => void): this;
  }

  /** One of the metas of a presence: what the server tracked, with Phoenix's reference. */
  type Meta<Fields = Record<string, any>> = Fields & { phx_ref: string; phx_ref_prev?: string };

  /** What is known of one key. */
  interface PresenceEntry<Fields = Record<string, any>> {
    metas: Meta<Fields>[];
    /** What `fetch` of the server has added. */
    [added: string]: any;
  }

  /** Who is there, kept up to date by the two events of presence. */
  export class Presence<Fields = Record<string, any>> {
    constructor(channel: Channel, options?: { events: { state: string; diff: string } });
    /** `current` is what was known of the key before, if anything was. */
    onJoin(callback: (key: string, current: PresenceEntry<Fields> | undefined, joined: PresenceEntry<Fields>) => void): void;
    /** `current` is what is left of the key; without metas nothing is. */
    onLeave(callback: (key: string, current: PresenceEntry<Fields>, left: PresenceEntry<Fields>) => void): void;
    /** Called after each change. */
    onSync(callback: () => void): void;
    list(): PresenceEntry<Fields>[];
    list<Item>(by: (key: string, presence: PresenceEntry<Fields>) => Item): Item[];
  }

  /** The long-poll of phoenix.js itself. */
  export class LongPoll {
    constructor(endPoint: string, protocols?: string | string[]);
  }
}
