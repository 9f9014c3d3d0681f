//! Submitting work while daemons live and die: real commands, one after the other.

use super::facts::Ordered;
use super::plan::{Order, Plan, Wish};
use super::world::{Ended, World};
use crate::cli::CliError;
use crate::files::samples;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Paid calls that should wait to be sent: enough to keep every life busy, little enough to be
/// done soon after the last one.
const BACKLOG: i64 = 4;
/// A command that fails for a passing reason is repeated this often, with the same key.
const TRIES: u32 = 50;
/// Between two tries, and between two looks at the backlog.
const PAUSE: Duration = Duration::from_millis(20);
/// The fewest photos that a training takes.
const PHOTOS: usize = 12;
/// A public model whose pictures are quickly drawn.
const PUBLIC_MODEL: &str = "seedream-4_5";

/// The submitting side.
pub(super) struct Orders {
    shared: Arc<Shared>,
    task: JoinHandle<Result<(Vec<Ordered>, u32), CliError>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    backlog: AtomicI64,
}

struct Submitter {
    world: Arc<World>,
    plan: Plan,
    shared: Arc<Shared>,
    photos: PathBuf,
    done: Vec<Ordered>,
    /// Pictures that nobody has enlarged yet.
    pictures: Vec<String>,
    newest_model: Option<String>,
    killed: u32,
}

impl Orders {
    /// Draws the photos and begins to submit.
    pub(super) async fn start(world: Arc<World>, plan: Plan) -> Result<Self, CliError> {
        let photos = world.dir.join("photos");
        let folder = photos.clone();
        tokio::task::spawn_blocking(move || draw_photos(&folder))
            .await
            .map_err(|error| CliError::Error(error.to_string()))?
            .map_err(|error| CliError::Error(format!("sample photos: {error}")))?;
        let shared = Arc::<Shared>::default();
        let submitter = Submitter {
            world,
            plan,
            shared: shared.clone(),
            photos,
            done: Vec::new(),
            pictures: Vec::new(),
            newest_model: None,
            killed: 0,
        };
        Ok(Self { shared, task: tokio::spawn(submitter.run()) })
    }

    /// Tells how many paid calls wait, as seen after a kill.
    pub(super) fn backlog(&self, unsent: i64) {
        self.shared.backlog.store(unsent, Ordering::Relaxed);
    }

    /// Lets the command under way end, and answers all orders and how many commands were killed.
    pub(super) async fn finish(self) -> Result<(Vec<Ordered>, u32), CliError> {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.task.await.map_err(|error| CliError::Error(error.to_string()))?
    }
}

impl Submitter {
    async fn run(mut self) -> Result<(Vec<Ordered>, u32), CliError> {
        let mut number = 0;
        while !self.shared.stop.load(Ordering::Relaxed) {
            if self.shared.backlog.load(Ordering::Relaxed) >= BACKLOG {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            let order = self.plan.order(number);
            self.submit(number, &order).await?;
            number += 1;
            self.shared.backlog.fetch_add(1, Ordering::Relaxed);
        }
        Ok((self.done, self.killed))
    }

    /// Submits one piece of work until it is acknowledged, with one key.
    async fn submit(&mut self, number: u64, order: &Order) -> Result<(), CliError> {
        let key = format!("order-{number}");
        let (command, mut args) = self.words(number, &order.wish);
        args.extend(["--key", &key, "--json"].map(str::to_owned));
        let mut kill_after = order.kill_after.map(Duration::from_millis);
        for _ in 0..TRIES {
            let ended = self.world.run(&args, kill_after.take()).await?;
            match ended.code {
                // Killed: whether it was stored is what the key is for.
                None => {
                    self.killed += 1;
                    continue;
                }
                Some(0) => {
                    let id = id_of(&ended)?;
                    self.acknowledged(command, &id);
                    let (command, id) = (command.to_owned(), Some(id));
                    self.done.push(Ordered { command, key, id, refused: None });
                    return Ok(());
                }
                Some(2 | 3) => {
                    let (command, refused) = (command.to_owned(), Some(ended.stderr));
                    self.done.push(Ordered { command, key, id: None, refused });
                    return Ok(());
                }
                Some(_) => tokio::time::sleep(PAUSE).await,
            }
        }
        let command = command.to_owned();
        self.done.push(Ordered { command, key, id: None, refused: None });
        Ok(())
    }

    /// The command for a wish; each has a text of its own, by which the vendor's ledger knows it.
    fn words(&mut self, number: u64, wish: &Wish) -> (&'static str, Vec<String>) {
        let text = format!("drill order {number}");
        let words = |line: &[&str]| line.iter().map(|word| (*word).to_owned()).collect();
        match wish {
            Wish::Train => {
                let photos = self.photos.to_string_lossy();
                let person = ["--age", "30", "--gender", "Female", "--images", &photos];
                let mut args: Vec<String> = words(&["train", "--name", &text]);
                args.extend(person.map(str::to_owned));
                ("train", args)
            }
            Wish::Video => {
                ("video", words(&["video", "--model", "veo-3.1-fast", "--prompt", &text]))
            }
            Wish::Upscale(which) if !self.pictures.is_empty() => {
                let at = usize::try_from(*which).unwrap_or(0) % self.pictures.len();
                ("upscale", words(&["upscale", "--image", &self.pictures.swap_remove(at)]))
            }
            Wish::Trained if self.newest_model.is_some() => {
                let model = self.newest_model.clone().unwrap_or_default();
                let small = ["--width", "64", "--height", "64"];
                let mut args: Vec<String> = words(&["image", "--model", &model, "--prompt", &text]);
                args.extend(small.map(str::to_owned));
                ("image", args)
            }
            _ => ("image", words(&["image", "--model", PUBLIC_MODEL, "--prompt", &text])),
        }
    }

    fn acknowledged(&mut self, command: &str, id: &str) {
        match command {
            "train" => self.newest_model = Some(id.to_owned()),
            "image" => self.pictures.push(id.to_owned()),
            _ => {}
        }
    }
}

/// Small ones: uploading them is what matters, and a drill should not begin by painting.
fn draw_photos(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for number in 0..PHOTOS {
        let photo = samples::draw(number, 128, 160);
        let path = folder.join(format!("photo-{number:02}.jpg"));
        photo.save(path).map_err(std::io::Error::other)?;
    }
    Ok(())
}

fn id_of(ended: &Ended) -> Result<String, CliError> {
    let answer: Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
    let id = answer.get("id").and_then(Value::as_str).map(str::to_owned);
    id.ok_or_else(|| CliError::Error(format!("a command answered {:?}", ended.stdout)))
}
