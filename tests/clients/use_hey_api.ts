// A program of somebody who generated a client with hey-api: upload, list, search, feedback.
import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";

import { client } from "./hey/client.gen.js";
import {
  createImage,
  getImage,
  getImageThumbnail,
  giveFeedback,
  listImages,
  listSimilarImages,
  searchImagePosts,
  searchImages,
} from "./hey/sdk.gen.js";

const [address, path] = process.argv.slice(2) as [string, string];
const bytes = new Uint8Array(await readFile(path));
client.setConfig({ baseUrl: address });

const file = new File([bytes], "dog.png", { type: "image/png" });
const created = await createImage({ body: { file, caption: "a dog", is_public: true } });
assert.equal(created.response!.status, 201);
const image = created.data!;
assert.equal(image.is_public, true);

for (let tries = 0; ; tries++) {
  const read = await getImage({ path: { image_id: image.id } });
  if (read.data!.status === "READY") break;
  assert.ok(tries < 600 && read.data!.status !== "FAILED", `it stays ${read.data!.status}`);
  await new Promise((done) => setTimeout(done, 100));
}

const listed = await listImages({ query: { limit: 5, mine: true } });
assert.ok(listed.data!.results.some((each) => each.id === image.id));
const found = await searchImages({ body: { text: "a dog", k: 3 } });
assert.ok(found.data!.results.length >= 1);
// The caption gets its vector by a job of its own, a moment after the picture.
for (let tries = 0; ; tries++) {
  const posts = await searchImagePosts({ query: { query: "a dog", limit: 2 } });
  if (posts.data!.some((each) => each.id === image.id)) break;
  assert.ok(tries < 300, "the post is not found by its caption");
  await new Promise((done) => setTimeout(done, 100));
}
const similar = await listSimilarImages({ path: { image_id: image.id }, query: { limit: 2 } });
assert.ok(similar.data!.results.every((each) => each.image.id !== image.id));

const image_hash = createHash("sha256").update(bytes).digest("hex");
const judged = await giveFeedback({ body: { image_hash, theme: "dogs", accepted: true } });
assert.equal(judged.data!.outcome, "created");
const thumbnail = await getImageThumbnail({ path: { image_id: image.id } });
assert.ok((thumbnail.data as Blob).size > 100);

const absent = await getImage({ path: { image_id: 999_999 } });
assert.equal(absent.error!.code, "not_found");
console.log("used");
