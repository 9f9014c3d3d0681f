//! Listening, serving, stopping.

use super::args::Args;
use super::reply::HangUp;
use super::sim::Sim;
use super::{api, control};
use axum::Router;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long connections may go on once the simulator has been asked to stop.
const GRACE: Duration = Duration::from_secs(2);

/// A simulator at work in this process. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Running {
    /// Where it listens; the port is the real one even if port 0 was asked for.
    pub addr: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Running {
    /// The base URL for a client: `http://127.0.0.1:PORT/api`.
    pub fn api_url(&self) -> String {
        format!("http://{}/api", self.addr)
    }

    /// The URL of a control endpoint, such as `ledger`.
    pub fn control_url(&self, name: &str) -> String {
        format!("http://{}/_sim/{name}", self.addr)
    }

    /// Stops listening, lets calls under way end for at most two seconds, and frees the port.
    pub async fn stop(self) {
        self.stop.cancel();
        // A call that hangs on purpose must not hold up the caller.
        let _ = tokio::time::timeout(GRACE, self.tasks.wait()).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Starts a simulator in this process and returns when it listens.
///
/// # Errors
/// When the address cannot be had, or no temporary folder for uploads can be made.
pub async fn start(args: Args) -> io::Result<Running> {
    let listener = TcpListener::bind(args.listen).await?;
    let addr = listener.local_addr()?;
    let sim = Arc::new(Sim::new(args, addr)?);
    let router = control::router(sim.clone()).merge(api::router(sim));
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    tasks.spawn(accept(listener, router, stop.clone(), tasks.clone()));
    tasks.close();
    Ok(Running { addr, stop, tasks })
}

/// Runs `darkroom simulate`: announces the URL on standard output, serves until `shutdown`
/// resolves, then stops.
///
/// # Errors
/// Those of [`start`], and a standard output that cannot be written.
pub async fn run(args: Args, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    let (speed, faults) = (args.speed, args.faults.len());
    let running = start(args).await?;
    let addr = running.addr;
    {
        let mut out = io::stdout().lock();
        writeln!(out, "simulator listening on {}", running.api_url())?;
        out.flush()?;
    }
    // Standard error may be closed; that is no reason to stop.
    let _ = writeln!(
        io::stderr(),
        "speed {speed}, {faults} fault(s); ledger at http://{addr}/_sim/ledger; Ctrl-C stops"
    );
    shutdown.await;
    running.stop().await;
    Ok(())
}

async fn accept(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                tasks.spawn(connection(stream, router.clone(), stop.clone()));
            }
            // Out of file descriptors, most likely: others have to close first.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn connection(stream: TcpStream, router: Router, stop: CancellationToken) {
    // Small replies must not wait for more; the simulator should add no delay of its own.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let router = TowerToHyperService::new(router.clone());
        async move {
            let answer = hyper::service::Service::call(&router, request).await;
            let response: Response = answer.unwrap_or_else(|never| match never {});
            match response.extensions().get::<HangUp>() {
                // An error of the service is how hyper is told to close without a reply.
                Some(_) => Err(io::Error::other("hung up on purpose")),
                None => Ok(response),
            }
        }
    });
    let mut builder = http1::Builder::new();
    // The gate writes the vendor's own date, or none.
    builder.auto_date_header(false);
    let served = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    tokio::select! {
        _ = served.as_mut() => return,
        () = stop.cancelled() => {}
    }
    served.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(GRACE, served).await;
}
