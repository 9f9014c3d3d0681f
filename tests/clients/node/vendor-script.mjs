// The vendor's whole flow, as one of its users would write it: node vendor-script.mjs FOLDER
//
// Written from the vendor's documentation alone, for Node 18 and newer, without packages: it knows
// nothing of darkroom. Trains a model on the photos of FOLDER, makes a picture with it, enlarges
// that, re-composes it with a public model, and makes a video that starts with it. Every file is
// fetched and looked into.
//
// Progress goes to standard error; one line of JSON with all ids and sizes ends standard output.
//
//   PHOTOGPT_BASE_URL, PHOTOGPT_API_KEY   where to and as whom
//   POLL_SECONDS=300, JOB_POLL_SECONDS=5  between two looks at the model, at a job
//   GIVE_UP_SECONDS=2100                  how long to wait for one thing
//
// Off unless set, because the vendor has neither:
//
//   RETRY_CONNECTION_ERRORS=1             try again when the connection fails or breaks off, for at
//                                         most RETRY_SECONDS=120 per request; never for a status
//   IDEMPOTENCY_PREFIX=xyz                send `Idempotency-Key: xyz-STEP` with all that orders work

import * as buffer from "node:buffer";
import { readFile, readdir } from "node:fs/promises";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import * as zlib from "node:zlib";

// Node 18 has the class but no global of that name.
const File = globalThis.File ?? buffer.File;

const env = process.env;
const BASE_URL = env.PHOTOGPT_BASE_URL.replace(/\/+$/, "");
const HEADERS = { Authorization: `Bearer ${env.PHOTOGPT_API_KEY}`, "API-Version": "1" };
const POLL_SECONDS = Number(env.POLL_SECONDS ?? 300);
const JOB_POLL_SECONDS = Number(env.JOB_POLL_SECONDS ?? 5);
const GIVE_UP_SECONDS = Number(env.GIVE_UP_SECONDS ?? 2100);
const RETRY = env.RETRY_CONNECTION_ERRORS === "1";
const RETRY_SECONDS = Number(env.RETRY_SECONDS ?? 120);
const PREFIX = env.IDEMPOTENCY_PREFIX;
const PHOTO_TYPES = new Set([".jpg", ".jpeg", ".png", ".webp", ".heic"]);

const polls = { model: 0, job: 0, download: 0 };
let retries = 0;

const say = (text) => process.stderr.write(`${text}\n`);
const seconds = () => performance.now() / 1000;

/** One request whose answer has arrived whole: `{ ok, status, data }`. */
async function send(url, options, ordersWork) {
  const deadline = seconds() + RETRY_SECONDS;
  for (;;) {
    try {
      const response = await fetch(url, options);
      const data = Buffer.from(await response.arrayBuffer());
      return { ok: response.ok, status: response.status, data };
    } catch (error) {
      // fetch says TypeError for a connection that fails or breaks off, and for nothing else here.
      // Without a key nobody can know whether the work was ordered: that is not repeated.
      const repeatable = PREFIX !== undefined || !ordersWork;
      if (!(error instanceof TypeError) || !RETRY || !repeatable || seconds() > deadline) throw error;
      retries += 1;
      await sleep(50);
    }
  }
}

/** A call of the API; `step` names one that orders work. Answers the parsed body. */
async function request(method, route, { step, json, form } = {}) {
  const headers = { ...HEADERS };
  if (step !== undefined && PREFIX !== undefined) headers["Idempotency-Key"] = `${PREFIX}-${step}`;
  let body = form;
  if (json !== undefined) {
    headers["Content-Type"] = "application/json";
    body = JSON.stringify(json);
  }
  const answer = await send(BASE_URL + route, { method, headers, body }, step !== undefined);
  const text = answer.data.toString("utf8");
  if (!answer.ok) throw new Error(`${method} ${route}: ${answer.status} ${text}`);
  const parsed = JSON.parse(text);
  if (parsed.status !== "OK") throw new Error(`${method} ${route}: ${text}`);
  return parsed;
}

/** A media file; its link needs no header. */
async function download(url) {
  const answer = await send(url, {}, false);
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${answer.data.toString("utf8", 0, 200)}`);
  return answer.data;
}

// --- model and training

async function createModel() {
  const json = {
    name: "UGC Creator",
    age: 27,
    gender: "Female",
    ethnicity: "south asian",
    eyeColor: "brown",
  };
  return (await request("POST", "/models", { step: "model", json })).result.id;
}

async function upload(model, file, step) {
  const form = new FormData();
  form.append("file", new File([await readFile(file)], path.basename(file)));
  form.append("data", JSON.stringify({ modelID: model, type: "modelInput" }));
  return (await request("POST", "/images/upload", { step, form })).result.id;
}

async function waitForModel(model) {
  const deadline = seconds() + GIVE_UP_SECONDS;
  let seen;
  for (;;) {
    polls.model += 1;
    const status = (await request("GET", `/models/${model}`)).result.status.toLowerCase();
    if (status !== seen) say(`model ${model} is ${status}`);
    seen = status;
    if (status === "ready") return;
    if (status === "deleted") throw new Error(`model ${model} is deleted`);
    if (seconds() > deadline) throw new Error(`model ${model} is still ${status}, check later`);
    await sleep(POLL_SECONDS * 1000);
  }
}

// --- jobs

async function start(route, step, json) {
  say(`ordering ${step}`);
  const job = (await request("POST", route, { step, json })).result.jobId;
  say(`id ${step} ${job}`);
  return job;
}

async function waitForJob(job) {
  const deadline = seconds() + GIVE_UP_SECONDS;
  let seen;
  for (;;) {
    polls.job += 1;
    const { result } = await request("GET", `/jobs/${job}`);
    const status = result.status.toLowerCase();
    if (status !== seen) say(`job ${job} is ${status}`);
    seen = status;
    if (status === "success") return result;
    if (!["created", "queued", "running"].includes(status)) {
      throw new Error(`job ${job} is ${status}: ${result.error}`);
    }
    if (seconds() > deadline) throw new Error(`job ${job} is still ${status}`);
    await sleep(JOB_POLL_SECONDS * 1000);
  }
}

function first(result, kind) {
  const found = result[kind]?.[0];
  if (!found?.id || !found?.url) throw new Error(`the job has no ${kind}: ${JSON.stringify(result)}`);
  return found;
}

/** Waits for an image job and looks into its first picture. */
async function pictureOf(job, name) {
  const image = first(await waitForJob(job), "images");
  const data = await download(image.url);
  const [width, height] = pictureSize(data);
  say(`id ${name}-image ${image.id}`);
  return [image, { job, image: image.id, bytes: data.length, width, height }];
}

async function waitForDownload(video) {
  const deadline = seconds() + GIVE_UP_SECONDS;
  for (;;) {
    polls.download += 1;
    const { result } = await request("GET", `/videos/${video}/download`);
    if (String(result.status).toLowerCase() === "ready") return result.url;
    if (seconds() > deadline) throw new Error(`the file of video ${video} is still being prepared`);
    await sleep(JOB_POLL_SECONDS * 1000);
  }
}

// --- files

/** Width and height of a picture, after checking that it is whole. */
function pictureSize(data) {
  if (data.subarray(0, 8).equals(Buffer.from("89504e470d0a1a0a", "hex"))) return pngSize(data);
  if (data[0] === 0xff && data[1] === 0xd8) return jpegSize(data);
  throw new Error(`not a picture: ${data.subarray(0, 16).toString("hex")}`);
}

function pngSize(data) {
  const packed = [];
  let [at, size, name] = [8, undefined, ""];
  while (name !== "IEND") {
    const end = at + 8 + data.readUInt32BE(at);
    name = data.toString("latin1", at + 4, at + 8);
    // Older Nodes cannot compute it; the pixels carry a checksum of their own.
    const sum = zlib.crc32?.(data.subarray(at + 4, end));
    if (sum !== undefined && sum !== data.readUInt32BE(end)) throw new Error("a damaged PNG");
    if (name === "IHDR") size = [data.readUInt32BE(at + 8), data.readUInt32BE(at + 12)];
    if (name === "IDAT") packed.push(data.subarray(at + 8, end));
    at = end + 4;
  }
  const pixels = zlib.inflateSync(Buffer.concat(packed));
  if (pixels.length < size[0] * size[1]) throw new Error("a PNG without its pixels");
  return size;
}

function jpegSize(data) {
  if (data.readUInt16BE(data.length - 2) !== 0xffd9) throw new Error("a JPEG that breaks off");
  let at = 2;
  while (data[at] === 0xff) {
    const marker = data[at + 1];
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      return [data.readUInt16BE(at + 7), data.readUInt16BE(at + 5)];
    }
    at += 2 + data.readUInt16BE(at + 2);
  }
  throw new Error("a JPEG without a size");
}

function checkVideo(data) {
  if (data.toString("latin1", 4, 8) !== "ftyp") {
    throw new Error(`not an MP4 file: ${data.subarray(0, 16).toString("hex")}`);
  }
}

// --- lists

async function checkLists(model, uploads, jobs) {
  const models = (await request("GET", "/models")).result.map((one) => one.id);
  if (!models.includes(model)) throw new Error(`model ${model} is not among ${models}`);

  const images = [];
  for (let page = 1, more = true; more; page += 1) {
    const query = `imageType=input&pageNum=${page}&pageSize=5`;
    const { result } = await request("GET", `/models/${model}/images?${query}`);
    images.push(...result.map((record) => record.id));
    more = result.length === 5;
  }
  if (images.sort().join() !== [...uploads].sort().join()) {
    throw new Error(`the inputs of the model are ${images}, uploaded were ${uploads}`);
  }

  const found = [];
  const begin = new Date(Date.now() - 3_600_000).toISOString();
  for (let token = ""; token !== undefined; ) {
    const query = new URLSearchParams({ start: begin, ...(token && { pageToken: token }) });
    const { result } = await request("GET", `/jobs?${query}`);
    found.push(...result.jobs.map((job) => job.jobId));
    token = result.nextPageToken || undefined;
  }
  const missing = jobs.filter((job) => found.filter((one) => one === job).length !== 1);
  if (missing.length > 0) throw new Error(`jobs ${missing} are not in the list once: ${found}`);

  const presets = (await request("GET", "/presets")).result;
  if (presets.length === 0) throw new Error("there are no presets");
  say("lists are right");
}

async function main(folder) {
  const names = await readdir(folder);
  const photos = names.filter((name) => PHOTO_TYPES.has(path.extname(name).toLowerCase()));
  photos.sort().splice(20);
  if (photos.length < 12) throw new Error(`${folder} has ${photos.length} photos, 12 are needed`);

  say("creating the model");
  const model = await createModel();
  say(`id model ${model}`);
  const uploads = [];
  for (const [index, name] of photos.entries()) {
    say(`uploading ${name}`);
    const step = `upload-${index + 1}`;
    uploads.push(await upload(model, path.join(folder, name), step));
    say(`id ${step} ${uploads.at(-1)}`);
  }
  say("starting the training");
  await request("GET", `/models/${model}/train`, { step: "train" });
  say("training accepted");
  await waitForModel(model);

  let job = await start("/images/generation", "image", {
    modelID: model,
    prompt: "reading in a sunny cafe",
    numImages: 1,
  });
  const [image, picture] = await pictureOf(job, "image");

  job = await start("/images/upscaling", "upscale", { imageID: image.id });
  const [, upscaled] = await pictureOf(job, "upscale");
  if (upscaled.width <= picture.width) throw new Error(`not enlarged: ${upscaled.width} wide`);

  job = await start("/images/generation", "adapt", {
    modelID: "nanobanana",
    prompt: "the same person on a rooftop at dusk",
    aspectRatio: "1:1",
    numImages: 1,
    referenceImageURLs: [image.url],
    options: { gemini: { imageSize: "1K" } },
  });
  const [, adapted] = await pictureOf(job, "adapt");

  job = await start("/videos/generation", "video", {
    modelID: "veo-3.1",
    prompt: "she waves at the camera",
    numVideos: 1,
    referenceImages: [{ url: image.url, role: "first_frame" }],
    options: { veo: { aspectRatio: "16:9", duration: 8, resolution: "720p" } },
  });
  const video = first(await waitForJob(job), "videos");
  say(`id video-file ${video.id}`);
  await request("GET", `/videos/${video.id}/create-download`);
  const data = await download(await waitForDownload(video.id));
  checkVideo(data);
  const film = { job, video: video.id, bytes: data.length };

  await checkLists(model, uploads, [picture.job, upscaled.job, adapted.job, film.job]);
  const report = { model, uploads, image: picture, upscale: upscaled, adapt: adapted, video: film };
  process.stdout.write(`${JSON.stringify({ ...report, polls, retries })}\n`);
}

if (process.argv.length !== 3) {
  process.stderr.write("usage: node vendor-script.mjs FOLDER\n");
  process.exit(2);
}
await main(process.argv[2]);
