// What Node clients of the five systems do with axios and form-data; only BASE_URL is another.
import fs from "node:fs";

import axios from "axios";
import FormData from "form-data";

const base = process.env.BASE_URL;
const [picture, other] = process.argv.slice(2);
const told = (name, reply) => {
  console.log(`${name}\t${JSON.stringify(reply.data)}`);
  return reply.data;
};
const upload = (path, fields = {}) => {
  const form = new FormData();
  form.append("file", fs.createReadStream(path));
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  return form;
};
const post = (path, form) => axios.post(base + path, form, { headers: form.getHeaders() });

const made = told("captioned-posts/upload", await post("/api/v1/images", upload(picture, { caption: "a red fox" })));
told("captioned-posts/upload-other", await post("/api/v1/images", upload(other, { caption: "a bowl of soup" })));
for (let tries = 0; tries < 1200; tries++) {
  const { data } = await axios.get(`${base}/api/v1/images`, { params: { limit: 2 } });
  if (data.results.every((image) => image.status === "READY")) break;
  await new Promise((done) => setTimeout(done, 100));
}
told("captioned-posts/search", await axios.post(`${base}/api/v1/images/search`, null, { params: { query: "fox", limit: 2 } }));
told("captioned-posts/similar", await axios.post(`${base}/api/v1/images/${made.id}/similar`, {}, { params: { limit: 5 } }));

told("creative-memory/related", await axios.get(`${base}/api/images/${made.id}/related/`, { params: { limit: 50 } }));
told("creative-memory/styles", await axios.get(`${base}/api/users/me/style-suggestions/`, { params: { limit: 20 } }));

told("image-search/health", await axios.get(`${base}/health`));
const found = told("image-search/search", await post("/search-similar-images/", upload(picture)));
for (const { path } of found.results) await axios.get(base + path, { responseType: "arraybuffer" });

const fields = { labels: "cat,dog,fox", asset_id: "sticker-1", theme: "animals", similar_limit: "5000" };
const answer = told("classifier/classify", await post("/classify", upload(picture, fields)));
told(
  "classifier/feedback",
  await axios.post(`${base}/feedback`, { image_hash: answer.image_hash, theme: "animals", accepted: true, source: "app" }),
);
told("classifier/labels", await axios.get(`${base}/labels`));

told("embedding-service/about", await axios.get(`${base}/`));
told("embedding-service/health", await axios.get(`${base}/health`));
told("embedding-service/embed", await post("/embed-image", upload(picture)));
