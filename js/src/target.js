// What events are made of, where the environment has nothing for it.

/** As much of the `EventTarget` of browsers as there is need for. React Native has none. */
class PlainTarget {
  #listeners = {};

  addEventListener(type, listener) {
    (this.#listeners[type] ??= new Set()).add(listener);
  }

  removeEventListener(type, listener) {
    this.#listeners[type]?.delete(listener);
  }

  dispatchEvent(event) {
    for (const listener of [...(this.#listeners[event.type] ?? [])]) {
      try {
        listener.call(this, event);
      } catch (error) {
        // It is reported, and the others are called.
        setTimeout(() => {
          throw error;
        });
      }
    }
  }
}

export const Target = globalThis.EventTarget ?? PlainTarget;

/** An event with some properties of its own. */
export function eventOf(type, properties) {
  return Object.assign(globalThis.Event ? new Event(type) : { type }, properties);
}

/** What is thrown at whoever calls too early. */
export function invalidState(message) {
  const name = "InvalidStateError";
  return globalThis.DOMException ? new DOMException(message, name) : Object.assign(new Error(message), { name });
}
