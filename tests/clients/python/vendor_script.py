"""The vendor's whole flow, as one of its users would write it: vendor_script.py FOLDER

Written from the vendor's documentation alone: it knows nothing of darkroom. Trains a model on the
photos of FOLDER, makes a picture with it, enlarges that, re-composes it with a public model, and
makes a video that starts with it. Every file is fetched and looked into.

Progress goes to standard error; one line of JSON with all ids and sizes ends standard output.

  PHOTOGPT_BASE_URL, PHOTOGPT_API_KEY   where to and as whom
  POLL_SECONDS=300, JOB_POLL_SECONDS=5  between two looks at the model, at a job
  GIVE_UP_SECONDS=2100                  how long to wait for one thing

Off unless set, because the vendor has neither:

  RETRY_CONNECTION_ERRORS=1             try again when the connection fails or breaks off, for at
                                        most RETRY_SECONDS=120 per request; never for a status
  IDEMPOTENCY_PREFIX=xyz                send `Idempotency-Key: xyz-STEP` with all that orders work
"""

import json
import os
import struct
import sys
import time
import zlib
from datetime import datetime, timedelta, timezone
from pathlib import Path

import requests

BASE_URL = os.environ["PHOTOGPT_BASE_URL"].rstrip("/")
HEADERS = {"Authorization": f"Bearer {os.environ['PHOTOGPT_API_KEY']}", "API-Version": "1"}
POLL_SECONDS = float(os.environ.get("POLL_SECONDS", "300"))
JOB_POLL_SECONDS = float(os.environ.get("JOB_POLL_SECONDS", "5"))
GIVE_UP_SECONDS = float(os.environ.get("GIVE_UP_SECONDS", "2100"))
RETRY = os.environ.get("RETRY_CONNECTION_ERRORS") == "1"
RETRY_SECONDS = float(os.environ.get("RETRY_SECONDS", "120"))
PREFIX = os.environ.get("IDEMPOTENCY_PREFIX")
PHOTO_TYPES = {".jpg", ".jpeg", ".png", ".webp", ".heic"}

polls = {"model": 0, "job": 0, "download": 0}
retries = 0


def say(text):
    print(text, file=sys.stderr, flush=True)


def send(method, url, orders_work=False, **kwargs):
    """One request whose answer has arrived whole."""
    global retries
    deadline = time.monotonic() + RETRY_SECONDS
    while True:
        try:
            response = requests.request(method, url, timeout=120, **kwargs)
            expected = response.headers.get("Content-Length")
            if expected is not None and len(response.content) < int(expected):
                raise requests.ConnectionError(f"{url} broke off")
            return response
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
            # Without a key nobody can know whether the work was ordered: that is not repeated.
            repeatable = PREFIX or not orders_work
            if not (RETRY and repeatable) or time.monotonic() > deadline:
                raise
            retries += 1
            time.sleep(0.05)


def request(method, path, step=None, **kwargs):
    """A call of the API; `step` names one that orders work. Answers the parsed body."""
    headers = dict(HEADERS)
    if step and PREFIX:
        headers["Idempotency-Key"] = f"{PREFIX}-{step}"
    response = send(method, BASE_URL + path, bool(step), headers=headers, **kwargs)
    if not response.ok:
        raise RuntimeError(f"{method} {path}: {response.status_code} {response.text}")
    body = response.json()
    if body.get("status") != "OK":
        raise RuntimeError(f"{method} {path}: {response.text}")
    return body


def fetch(url):
    """A media file; its link needs no header."""
    response = send("GET", url)
    if not response.ok:
        raise RuntimeError(f"{url}: {response.status_code} {response.text[:200]}")
    return response.content


# --- model and training


def create_model():
    person = {
        "name": "UGC Creator",
        "age": 27,
        "gender": "Female",
        "ethnicity": "south asian",
        "eyeColor": "brown",
    }
    return request("POST", "/models", step="model", json=person)["result"]["id"]


def upload(model, path, step):
    data = json.dumps({"modelID": model, "type": "modelInput"})
    with path.open("rb") as file:
        parts = {"file": (path.name, file), "data": (None, data, "application/json")}
        if RETRY:
            # A body that may have to be sent again must not be a half-read file.
            parts["file"] = (path.name, file.read())
        return request("POST", "/images/upload", step=step, files=parts)["result"]["id"]


def wait_for_model(model):
    deadline = time.monotonic() + GIVE_UP_SECONDS
    seen = None
    while True:
        polls["model"] += 1
        status = request("GET", f"/models/{model}")["result"]["status"].lower()
        if status != seen:
            say(f"model {model} is {status}")
            seen = status
        if status == "ready":
            return
        if status == "deleted":
            raise RuntimeError(f"model {model} is deleted")
        if time.monotonic() > deadline:
            raise RuntimeError(f"model {model} is still {status}, check later")
        time.sleep(POLL_SECONDS)


# --- jobs


def start(path, step, body):
    say(f"ordering {step}")
    job = request("POST", path, step=step, json=body)["result"]["jobId"]
    say(f"id {step} {job}")
    return job


def wait_for_job(job):
    deadline = time.monotonic() + GIVE_UP_SECONDS
    seen = None
    while True:
        polls["job"] += 1
        result = request("GET", f"/jobs/{job}")["result"]
        status = result["status"].lower()
        if status != seen:
            say(f"job {job} is {status}")
            seen = status
        if status == "success":
            return result
        if status not in ("created", "queued", "running"):
            raise RuntimeError(f"job {job} is {status}: {result.get('error')}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"job {job} is still {status}")
        time.sleep(JOB_POLL_SECONDS)


def first(result, kind):
    found = result.get(kind) or []
    if not found or not found[0].get("id") or not found[0].get("url"):
        raise RuntimeError(f"the job has no {kind}: {result}")
    return found[0]


def picture_of(job, name):
    """Waits for an image job and looks into its first picture."""
    image = first(wait_for_job(job), "images")
    data = fetch(image["url"])
    width, height = picture_size(data)
    say(f"id {name}-image {image['id']}")
    facts = {"job": job, "image": image["id"], "bytes": len(data)}
    return image, facts | {"width": width, "height": height}


def wait_for_download(video):
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while True:
        polls["download"] += 1
        result = request("GET", f"/videos/{video}/download")["result"]
        if str(result.get("status")).lower() == "ready":
            return result["url"]
        if time.monotonic() > deadline:
            raise RuntimeError(f"the file of video {video} is still being prepared")
        time.sleep(JOB_POLL_SECONDS)


# --- files


def picture_size(data):
    """Width and height of a picture, after checking that it is whole."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return png_size(data)
    if data.startswith(b"\xff\xd8"):
        return jpeg_size(data)
    raise RuntimeError(f"not a picture: {data[:16]!r}")


def png_size(data):
    at, size, packed, name = 8, None, b"", b""
    while name != b"IEND":
        length, name = struct.unpack(">I4s", data[at : at + 8])
        chunk = data[at + 8 : at + 8 + length]
        (crc,) = struct.unpack(">I", data[at + 8 + length : at + 12 + length])
        if zlib.crc32(name + chunk) != crc:
            raise RuntimeError("a damaged PNG")
        if name == b"IHDR":
            size = struct.unpack(">II", chunk[:8])
        elif name == b"IDAT":
            packed += chunk
        at += 12 + length
    if len(zlib.decompress(packed)) < size[0] * size[1]:
        raise RuntimeError("a PNG without its pixels")
    return size


def jpeg_size(data):
    if not data.endswith(b"\xff\xd9"):
        raise RuntimeError("a JPEG that breaks off")
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        (length,) = struct.unpack(">H", data[at + 2 : at + 4])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 + length
    raise RuntimeError("a JPEG without a size")


def check_video(data):
    if data[4:8] != b"ftyp":
        raise RuntimeError(f"not an MP4 file: {data[:16]!r}")


# --- lists


def check_lists(model, uploads, jobs):
    listed = [one["id"] for one in request("GET", "/models")["result"]]
    if model not in listed:
        raise RuntimeError(f"model {model} is not among {listed}")

    images, page = [], 1
    while True:
        query = {"imageType": "input", "pageNum": page, "pageSize": 5}
        records = request("GET", f"/models/{model}/images", params=query)["result"]
        images += [record["id"] for record in records]
        if len(records) < 5:
            break
        page += 1
    if sorted(images) != sorted(uploads):
        raise RuntimeError(f"the inputs of the model are {images}, uploaded were {uploads}")

    found, token = [], None
    begin = (datetime.now(timezone.utc) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    while True:
        query = {"start": begin} | ({"pageToken": token} if token else {})
        result = request("GET", "/jobs", params=query)["result"]
        found += [job["jobId"] for job in result["jobs"]]
        token = result.get("nextPageToken")
        if not token:
            break
    missing = [job for job in jobs if found.count(job) != 1]
    if missing:
        raise RuntimeError(f"jobs {missing} are not in the list once: {found}")

    presets = request("GET", "/presets")["result"]
    if not presets:
        raise RuntimeError("there are no presets")
    say("lists are right")


def main(folder):
    photos = [path for path in sorted(Path(folder).iterdir()) if path.suffix.lower() in PHOTO_TYPES]
    photos = photos[:20]
    if len(photos) < 12:
        raise RuntimeError(f"{folder} has {len(photos)} photos, 12 are needed")

    say("creating the model")
    model = create_model()
    say(f"id model {model}")
    uploads = []
    for number, path in enumerate(photos, 1):
        say(f"uploading {path.name}")
        uploads.append(upload(model, path, f"upload-{number}"))
        say(f"id upload-{number} {uploads[-1]}")
    say("starting the training")
    request("GET", f"/models/{model}/train", step="train")
    say("training accepted")
    wait_for_model(model)

    scene = {"modelID": model, "prompt": "reading in a sunny cafe", "numImages": 1}
    job = start("/images/generation", "image", scene)
    image, picture = picture_of(job, "image")

    job = start("/images/upscaling", "upscale", {"imageID": image["id"]})
    _, upscaled = picture_of(job, "upscale")
    if upscaled["width"] <= picture["width"]:
        raise RuntimeError(f"not enlarged: {picture} became {upscaled}")

    scene = {
        "modelID": "nanobanana",
        "prompt": "the same person on a rooftop at dusk",
        "aspectRatio": "1:1",
        "numImages": 1,
        "referenceImageURLs": [image["url"]],
        "options": {"gemini": {"imageSize": "1K"}},
    }
    job = start("/images/generation", "adapt", scene)
    _, adapted = picture_of(job, "adapt")

    scene = {
        "modelID": "veo-3.1",
        "prompt": "she waves at the camera",
        "numVideos": 1,
        "referenceImages": [{"url": image["url"], "role": "first_frame"}],
        "options": {"veo": {"aspectRatio": "16:9", "duration": 8, "resolution": "720p"}},
    }
    job = start("/videos/generation", "video", scene)
    video = first(wait_for_job(job), "videos")
    say(f"id video-file {video['id']}")
    request("GET", f"/videos/{video['id']}/create-download")
    data = fetch(wait_for_download(video["id"]))
    check_video(data)
    film = {"job": job, "video": video["id"], "bytes": len(data)}

    check_lists(model, uploads, [one["job"] for one in (picture, upscaled, adapted, film)])
    report = {"model": model, "uploads": uploads, "image": picture, "upscale": upscaled}
    report |= {"adapt": adapted, "video": film, "polls": polls, "retries": retries}
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: vendor_script.py FOLDER")
    main(sys.argv[1])
