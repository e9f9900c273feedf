// A program of somebody who generated types with openapi-typescript: upload, list, search, feedback.
import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";

import createClient from "openapi-fetch";

import type { components, paths } from "./mirada.js";

const [address, path] = process.argv.slice(2) as [string, string];
const bytes = new Uint8Array(await readFile(path));
const client = createClient<paths>({ baseUrl: address });

// Only what has no default has to be named.
const wanted: components["schemas"]["NewImage"] = { file: path, caption: "a cat" };
const created = await client.POST("/api/v1/images", {
  params: { query: {} },
  body: wanted,
  bodySerializer(body) {
    const form = new FormData();
    form.append("file", new Blob([bytes], { type: "image/png" }), "cat.png");
    form.append("caption", body.caption ?? "");
    return form;
  },
});
assert.equal(created.response.status, 201);
const image = created.data!;
assert.equal(image.caption, "a cat");

for (let tries = 0; ; tries++) {
  const read = await client.GET("/api/v1/images/{image_id}", {
    params: { path: { image_id: image.id } },
  });
  const status: "PENDING" | "PROCESSING" | "READY" | "FAILED" = read.data!.status;
  if (status === "READY") break;
  assert.ok(tries < 600 && status !== "FAILED", `the image stays ${status}`);
  await new Promise((done) => setTimeout(done, 100));
}

const listed = await client.GET("/api/v1/images", { params: { query: { limit: 5, mine: true } } });
assert.ok(listed.data!.results.some((each) => each.id === image.id));

const found = await client.POST("/api/v1/search", { body: { text: "a cat", k: 3 } });
assert.ok(found.data!.results.length >= 1);

// The caption gets its vector by a job of its own, a moment after the picture.
for (let tries = 0; ; tries++) {
  const posts = await client.POST("/api/v1/images/search", {
    params: { query: { query: "a cat", limit: 2 } },
  });
  if (posts.data!.some((each) => each.id === image.id)) break;
  assert.ok(tries < 300, "the post is not found by its caption");
  await new Promise((done) => setTimeout(done, 100));
}

const image_hash = createHash("sha256").update(bytes).digest("hex");
const judged = await client.POST("/api/v1/feedback", {
  body: { image_hash, theme: "cats", accepted: true },
});
assert.equal(judged.data!.outcome, "created");

const thumbnail = await client.GET("/api/v1/images/{image_id}/thumbnail", {
  params: { path: { image_id: image.id } },
  parseAs: "arrayBuffer",
});
assert.ok((thumbnail.data as unknown as ArrayBuffer).byteLength > 100);

const related = await client.GET("/api/v1/images/{image_id}/related", {
  params: { path: { image_id: image.id }, query: { limit: 3, blend: 0.5 } },
});
assert.equal(related.data!.count, related.data!.results.length);

const absent = await client.GET("/api/v1/images/{image_id}", {
  params: { path: { image_id: 999_999 } },
});
assert.equal(absent.error!.code, "not_found");
console.log("used");
