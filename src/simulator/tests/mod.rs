//! The simulator over real HTTP on loopback.

mod control;
mod endpoints;
mod fault_calls;
mod fault_clocks;
mod fault_lists;
mod fault_work;
mod foreign;
mod grammar;
mod refusals;

use super::{Args, Running, start};
use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// A simulated vendor and somebody who talks to it.
struct Vendor {
    running: Running,
    http: reqwest::Client,
}

/// Fast enough that a training takes about 30 ms and an image job about 1 ms.
const FAST: f64 = 50_000.0;

/// The documented defaults on a free port, with these faults.
fn args(speed: f64, faults: &[&str]) -> Args {
    Args {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        speed,
        faults: faults.iter().map(|fault| fault.parse().unwrap()).collect(),
        ..Args::default()
    }
}

impl Vendor {
    async fn new(faults: &[&str]) -> Self {
        Self::with(args(FAST, faults)).await
    }

    async fn with(args: Args) -> Self {
        // A pool would hide hang-ups behind silent retries on another connection.
        let http = reqwest::Client::builder().pool_max_idle_per_host(0).no_proxy().build().unwrap();
        Self { running: start(args).await.unwrap(), http }
    }

    fn call(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.running.api_url()));
        request.bearer_auth("key").header("API-Version", "1")
    }

    async fn try_get(&self, path: &str) -> reqwest::Result<Response> {
        self.call(Method::GET, path).send().await
    }

    async fn try_post(&self, path: &str, body: &Value) -> reqwest::Result<Response> {
        self.call(Method::POST, path).json(body).send().await
    }

    /// A GET that has to work; its `result`.
    async fn get(&self, path: &str) -> Value {
        ok(self.try_get(path).await.unwrap()).await
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        ok(self.try_post(path, &body).await.unwrap()).await
    }

    async fn delete(&self, path: &str) -> StatusCode {
        self.call(Method::DELETE, path).send().await.unwrap().status()
    }

    async fn control(&self, name: &str, body: Value) -> Value {
        let request = self.http.post(self.running.control_url(name)).json(&body);
        request.send().await.unwrap().json().await.unwrap()
    }

    async fn report(&self, name: &str) -> Value {
        let request = self.http.get(self.running.control_url(name));
        request.send().await.unwrap().json().await.unwrap()
    }

    async fn count(&self, what: &str) -> u64 {
        self.report("ledger?effects=false").await[what].as_u64().unwrap()
    }

    async fn model(&self) -> String {
        text(&self.post("/models", json!({ "name": "Ann", "gender": "Female" })).await["id"])
    }

    async fn upload(&self, model: &str, kind: &str, file: Vec<u8>) -> Response {
        let data = json!({ "modelID": model, "type": kind }).to_string();
        let form = Form::new()
            .part("file", Part::bytes(file).file_name("a.jpg"))
            .part("data", Part::text(data).mime_str("application/json").unwrap());
        self.call(Method::POST, "/images/upload").multipart(form).send().await.unwrap()
    }

    /// A model with twelve different pictures.
    async fn trainable(&self) -> String {
        let model = self.model().await;
        for number in 0..12 {
            ok(self.upload(&model, "modelInput", jpeg(number)).await).await;
        }
        model
    }

    /// A model that is ready.
    async fn ready(&self) -> String {
        let model = self.trainable().await;
        self.get(&format!("/models/{model}/train")).await;
        self.control("finish", json!({})).await;
        model
    }

    /// A job of a public image model.
    async fn image_job(&self) -> String {
        let body = json!({ "modelID": "nanobanana", "prompt": "a hat" });
        text(&self.post("/images/generation", body).await["jobId"])
    }

    async fn video_job(&self) -> String {
        let body = json!({ "modelID": "grok-imagine-1.5", "prompt": "a dance" });
        text(&self.post("/videos/generation", body).await["jobId"])
    }

    async fn job(&self, id: &str) -> Value {
        self.get(&format!("/jobs/{id}")).await
    }

    async fn job_word(&self, id: &str) -> String {
        text(&self.job(id).await["status"])
    }

    async fn model_word(&self, id: &str) -> String {
        text(&self.get(&format!("/models/{id}")).await["status"])
    }

    /// Reads a job until its status is this word.
    async fn job_until(&self, id: &str, word: &str) -> Value {
        for _ in 0..500 {
            let job = self.job(id).await;
            if job["status"] == word {
                return job;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("{id} never became {word}: {}", self.job(id).await);
    }

    /// Reads a model until its status is this word.
    async fn model_until(&self, id: &str, word: &str) {
        for _ in 0..500 {
            if self.model_word(id).await == word {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("{id} never became {word}");
    }

    async fn fetch(&self, url: &Value) -> reqwest::Result<Response> {
        self.http.get(url.as_str().unwrap()).send().await
    }

    /// A finished video.
    async fn video(&self) -> String {
        let job = self.video_job().await;
        self.control("finish", json!({})).await;
        text(&self.job(&job).await["videos"][0]["id"])
    }
}

async fn ok(response: Response) -> Value {
    let status = response.status();
    let body: Value = response.json().await.unwrap();
    assert!(status.is_success() && body["status"] == "OK", "{status} {body}");
    body["result"].clone()
}

/// The status and message of a refusal, whose envelope must be the documented one.
async fn refused(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["status"], "NOK", "{status} {body}");
    assert_eq!(body["result"], Value::Null);
    (status, text(&body["message"]))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}")).to_owned()
}

/// Bytes that pass for a JPEG, different for each number.
fn jpeg(number: u8) -> Vec<u8> {
    vec![0xFF, 0xD8, 0xFF, 0xE0, number, 1, 2, 3, 4, 5, 6, 7, 8]
}
