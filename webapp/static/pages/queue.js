// Pictures that wait to be added: kept by the browser, so that a reload loses none. Other pages put
// files in by `enqueue` and lead to Add, which sends them.

const STORE = "files", CHANNEL = "mirada-queue";
/** Endings of pictures whose type browsers do not tell. */
const PICTURES = /\.(avif|bmp|gif|hei[cf]|jpe?g|png|tiff?|webp)$/i;
let opening = null;

/** Whose queue this is: that of another person who uses this browser is not touched. */
export const owner = document.querySelector('meta[name="user"]')?.content ?? "";

/** Whether a file looks like a picture; the server decides. */
export const isPicture = (file) => file.type.startsWith("image/") || PICTURES.test(file.name);

function open() {
  opening ??= new Promise((resolve, reject) => {
    const asked = indexedDB.open("mirada-queue", 1);
    asked.onupgradeneeded = () => {
      asked.result.createObjectStore(STORE, { keyPath: "id", autoIncrement: true }).createIndex("owner", "owner");
    };
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => { opening = null; reject(asked.error); };
  });
  return opening;
}

/** Do something with the store in one transaction; resolves when it is on the disk. */
async function within(mode, work) {
  const database = await open();
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(STORE, mode), done = work(transaction.objectStore(STORE));
    transaction.oncomplete = () => resolve(done?.result);
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
  });
}

const radio = globalThis.BroadcastChannel ? new BroadcastChannel(CHANNEL) : null;

/** Hear when another tab has changed the queue. */
export function onChange(run) { radio?.addEventListener("message", run); }

/** A random text of 128 bits; randomUUID exists only on https and localhost. */
const random = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Put files into the queue; throws where the browser has no room for them. Returns the new entries. */
export async function enqueue(files, { isPublic = false, prompt = "" } = {}) {
  const added = [...files].map((file) => ({
    owner, file, name: file.name, size: file.size, key: random(), isPublic, prompt, state: "waiting",
  }));
  await within("readwrite", (store) => {
    for (const one of added) store.add(one).onsuccess = (event) => { one.id = event.target.result; };
  });
  radio?.postMessage("changed");
  return added;
}

/** Everything of this person's queue, oldest first. */
export const all = () => within("readonly", (store) => store.index("owner").getAll(owner));

/** Keep an entry as it is now; what has been sent needs its bytes no more. */
export async function keep(entry) {
  await within("readwrite", (store) => store.put(entry));
  radio?.postMessage("changed");
}

/** Take entries out of the queue. */
export async function forget(ids) {
  await within("readwrite", (store) => { for (const id of ids) store.delete(id); });
  radio?.postMessage("changed");
}

/** The files of a drop, those in folders too; of folders only what looks like a picture. */
export async function filesOf(transfer) {
  // Both lists are empty once the event is over, so they are read before anything is waited for.
  const entries = [...transfer.items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry?.());
  const files = [...transfer.files];
  if (!entries.some((entry) => entry?.isDirectory)) return files;
  const found = [];
  const walk = async (entry, isInside) => {
    if (!entry) return;
    if (entry.isFile) {
      const file = await new Promise((resolve) => entry.file(resolve, () => resolve(null)));
      if (file && (!isInside || isPicture(file))) found.push(file);
      return;
    }
    const reader = entry.createReader();
    // A folder is told a hundred at a time.
    for (;;) {
      const part = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
      if (!part.length) return;
      for (const one of part) await walk(one, true);
    }
  };
  for (const entry of entries) await walk(entry, false);
  return found;
}
