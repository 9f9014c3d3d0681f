//! Listening and serving: HTTP/1.1, and nobody can keep others out by holding connections open.
//!
//! - A request's head has to come within [`HEAD_PATIENCE`], counted from the connection's start or
//!   the last answer's end; a connection that is idle for longer is closed.
//! - Beyond `daemon.max_connections` the connection that has been idle longest (half-open ones
//!   are) makes room; when all are busy, the new one is told to come back.
//! - A request that is refused before all of its body has come gets its answer: the connection is
//!   closed for writing, and what still comes is thrown away for a while ([`LINGER`]), because a
//!   reset would take the answer with it.

use super::{Shared, router};
use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Longest wait for a request's head.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes of a request's head.
const HEAD_CAP: usize = 64 * 1024;
/// How long requests may go on once the daemon has been asked to stop.
const GRACE: Duration = Duration::from_millis(900);
/// What comes after a refusal is thrown away for this long ...
const LINGER: Duration = Duration::from_secs(5);
/// ... and up to this many bytes.
const LINGER_BYTES: u64 = 64 * 1024 * 1024;
/// After an accept that failed (out of file descriptors): others have to close first.
const AFTER_ERROR: Duration = Duration::from_millis(50);
/// What a connection is told for which there is no room.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\
    Content-Length: 0\r\nConnection: close\r\n\r\n";

/// Answers requests until the daemon stops.
///
/// # Errors
/// None so far: a listener that breaks for a while is tried again.
pub async fn serve(listener: TcpListener, app: Shared) -> io::Result<()> {
    let stop = app.stop.clone();
    let most = usize::try_from(app.config.daemon.max_connections).unwrap_or(usize::MAX);
    let connections = Connections { most, table: Arc::default() };
    let router = router(app);
    let tasks = TaskTracker::new();
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                failing = false;
                let Some(seat) = connections.seat() else {
                    tasks.spawn(turn_away(stream));
                    continue;
                };
                tasks.spawn(connection(stream, router.clone(), seat, stop.clone()));
            }
            Err(error) => {
                if !failing {
                    tracing::warn!("connections cannot be accepted: {error}");
                }
                failing = true;
                tokio::time::sleep(AFTER_ERROR).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    let _ = tokio::time::timeout(GRACE, tasks.wait()).await;
    Ok(())
}

async fn connection(mut stream: TcpStream, router: Router, seat: Seat, stop: CancellationToken) {
    // Small answers must not wait for more.
    let _ = stream.set_nodelay(true);
    let clean = {
        let busy = seat.clone();
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let router = TowerToHyperService::new(router.clone());
            let working = busy.working();
            async move {
                let answer = hyper::service::Service::call(&router, request).await;
                let response: Response = answer.unwrap_or_else(|never| match never {});
                Ok::<_, std::convert::Infallible>(
                    response.map(|body| Body::new(Held { body, _working: working })),
                )
            }
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_PATIENCE)
            .max_buf_size(HEAD_CAP)
            .serve_connection(TokioIo::new(&mut stream), service);
        tokio::pin!(served);
        tokio::select! {
            // What cannot be read as HTTP is answered, too.
            result = served.as_mut() => result.err().is_none_or(|error| error.is_parse()),
            () = seat.idle_and_evicted() => false,
            () = stop.cancelled() => {
                served.as_mut().graceful_shutdown();
                matches!(tokio::time::timeout(GRACE, served).await, Ok(Ok(())))
            }
        }
    };
    if clean {
        tokio::select! {
            () = linger(stream) => {}
            () = seat.evicted.cancelled() => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Lets the other side read its answer: closing a connection with unread bytes would reset it.
async fn linger(mut stream: TcpStream) {
    let _ = stream.shutdown().await;
    let mut left = LINGER_BYTES;
    let mut waste = vec![0; 16 * 1024];
    let end = tokio::time::Instant::now() + LINGER;
    while left > 0 {
        match tokio::time::timeout_at(end, stream.read(&mut waste)).await {
            Ok(Ok(read)) if read > 0 => left = left.saturating_sub(read as u64),
            _ => return,
        }
    }
}

async fn turn_away(mut stream: TcpStream) {
    // It fits the socket's buffer; nothing of the request is waited for.
    let _ = tokio::time::timeout(AFTER_ERROR, stream.write_all(FULL)).await;
}

/// Everybody who is connected.
#[derive(Clone, Debug)]
struct Connections {
    most: usize,
    table: Table,
}

type Table = Arc<Mutex<Seats>>;

#[derive(Debug, Default)]
struct Seats {
    next: u64,
    taken: HashMap<u64, Taken>,
}

#[derive(Debug)]
struct Taken {
    /// Requests whose answer is not out yet.
    working: u32,
    /// When it became idle last.
    idle_since: Instant,
    evicted: CancellationToken,
}

impl Connections {
    /// A place for one more, if need be that of the one which has been idle longest.
    fn seat(&self) -> Option<Seat> {
        let mut seats = lock(&self.table);
        if seats.taken.len() >= self.most {
            let idle = seats.taken.iter().filter(|(_, taken)| taken.working == 0);
            let longest = idle.min_by_key(|(_, taken)| taken.idle_since).map(|(id, _)| *id)?;
            if let Some(taken) = seats.taken.remove(&longest) {
                taken.evicted.cancel();
            }
        }
        let id = seats.next;
        seats.next += 1;
        let evicted = CancellationToken::new();
        let taken = Taken { working: 0, idle_since: Instant::now(), evicted: evicted.clone() };
        seats.taken.insert(id, taken);
        let leave = Arc::new(Leave { id, table: self.table.clone() });
        let active = Arc::default();
        Some(Seat { id, table: self.table.clone(), evicted, active, _leave: leave })
    }
}

fn lock(table: &Table) -> MutexGuard<'_, Seats> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection's place.
#[derive(Clone, Debug)]
struct Seat {
    id: u64,
    table: Table,
    /// Somebody else got the place.
    evicted: CancellationToken,
    /// Requests whose answer is not out yet.
    active: Arc<AtomicU32>,
    _leave: Arc<Leave>,
}

impl Seat {
    fn working(&self) -> Working {
        if let Some(taken) = lock(&self.table).taken.get_mut(&self.id) {
            taken.working += 1;
        }
        self.active.fetch_add(1, Ordering::SeqCst);
        Working { id: self.id, table: self.table.clone(), active: self.active.clone() }
    }

    /// Resolves when the place is gone, unless a request came in at the same moment: that one is
    /// answered.
    async fn idle_and_evicted(&self) {
        self.evicted.cancelled().await;
        if self.active.load(Ordering::SeqCst) > 0 {
            std::future::pending::<()>().await;
        }
    }
}

/// Frees the place when the connection is gone.
#[derive(Debug)]
struct Leave {
    id: u64,
    table: Table,
}

impl Drop for Leave {
    fn drop(&mut self) {
        lock(&self.table).taken.remove(&self.id);
    }
}

/// A request under way, until its answer's body is sent or given up.
struct Working {
    id: u64,
    table: Table,
    active: Arc<AtomicU32>,
}

impl Drop for Working {
    fn drop(&mut self) {
        self.active.fetch_sub(1, Ordering::SeqCst);
        if let Some(taken) = lock(&self.table).taken.get_mut(&self.id) {
            taken.working = taken.working.saturating_sub(1);
            taken.idle_since = Instant::now();
        }
    }
}

/// An answer's body, which keeps its connection busy.
struct Held {
    body: Body,
    _working: Working,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_idle_makes_room() {
        let connections = Connections { most: 2, table: Arc::default() };
        let first = connections.seat().unwrap();
        let second = connections.seat().unwrap();
        let working = first.working();
        let third = connections.seat().unwrap();
        assert!(second.evicted.is_cancelled() && !first.evicted.is_cancelled());
        let also = third.working();
        assert!(connections.seat().is_none(), "both are busy");
        drop((working, second));
        assert!(connections.seat().is_some());
        assert!(first.evicted.is_cancelled() && !third.evicted.is_cancelled());
        drop((first, also, third));
        assert!(lock(&connections.table).taken.is_empty());
    }
}
