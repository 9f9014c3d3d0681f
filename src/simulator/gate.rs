//! What every call goes through: the log, the key, the version, and the faults.

use super::clock;
use super::fault::Struck;
use super::fault_table::{Kind, Phase};
use super::op::Op;
use super::reply::{EffectSeq, HangUp, Refusal, hang_up, nok};
use super::sim::Sim;
use super::world::Caller;
use super::world::calls::Entered;
use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use std::time::Duration;

/// The largest body kept for a call that happens late.
const KEPT_BODY: usize = 32 * 1024 * 1024;

/// Logs a call, lets it through or not, and stamps the reply with the vendor's date.
pub(crate) async fn gate(State(sim): State<Arc<Sim>>, request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>();
    let op = matched.and_then(|path| Op::of(request.method(), path.as_str()));
    let mut logged = Logged::enter(sim.clone(), op, &request);
    let mut response = admit(&sim, op, logged.call.seq, request, next).await;
    let mut world = sim.world();
    let hung_up = response.extensions().get::<HangUp>().is_some();
    logged.status = (!hung_up).then(|| response.status().as_u16());
    let told = !hung_up && response.status().is_success();
    if let Some(seq) = response.extensions().get::<EffectSeq>().filter(|_| told) {
        world.ledger.mark_replied(seq.0);
    }
    let dateless =
        world.args.no_date || op.is_some_and(|op| world.strike(Kind::NoDate, op).is_some());
    let skew = op.map_or(0, |op| world.faults.offset(Kind::DateSkew, op));
    let date = HeaderValue::from_str(&clock::http_date(world.clock.wall().saturating_add(skew)));
    drop(world);
    if let (false, Ok(date)) = (dateless, date) {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}

/// Writes the call into the log when it ends, even if the client has left in the middle.
struct Logged {
    sim: Arc<Sim>,
    call: Entered,
    status: Option<u16>,
}

impl Logged {
    fn enter(sim: Arc<Sim>, op: Option<Op>, request: &Request) -> Self {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let mut world = sim.world();
        let call = Entered {
            op,
            seq: world.calls.enter(op),
            method: request.method().to_string(),
            path: path.to_owned(),
            at: world.clock.wall(),
        };
        if op == Some(Op::Train) {
            world.ledger.train_calls += 1;
        }
        drop(world);
        Self { sim, call, status: None }
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        let mut world = self.sim.world();
        let now = world.clock.wall();
        world.calls.leave(&self.call, self.status, now);
    }
}

async fn admit(
    sim: &Arc<Sim>,
    op: Option<Op>,
    call: u64,
    mut request: Request,
    next: Next,
) -> Response {
    let media = op == Some(Op::Media);
    if sim.world().down && !media {
        return hang_up();
    }
    let Some(op) = op else {
        return next.run(request).await;
    };
    let key = match authorize(sim, request.headers()) {
        Ok(key) => key,
        // Media links carry their own proof.
        Err(_) if media => String::new(),
        Err(refusal) => {
            take_in(request).await;
            return refusal.into_response();
        }
    };
    let before = {
        let mut world = sim.world();
        let base = base(sim, request.headers());
        // Media belongs to no key, and must not make a user of the empty one.
        let user = if media { usize::MAX } else { world.user(&key) };
        let caller = Caller { user, op, base, call: Some(call), double_of: None };
        request.extensions_mut().insert(caller);
        world.faults.strike_all(Phase::Before, op)
    };
    if !before.iter().any(|fault| fault.kind == Kind::GoesOn) {
        return carry_out(sim, op, before, request, next).await;
    }
    // A body that does not arrive whole is a call that never happens.
    let Some(request) = whole(request).await else {
        return hang_up();
    };
    let sim = sim.clone();
    // A task of its own, because a client that leaves takes this one with it.
    let call = tokio::spawn(async move { carry_out(&sim, op, before, request, next).await });
    call.await.unwrap_or_else(|_| hang_up())
}

/// The call itself, with what goes wrong before and after it.
async fn carry_out(
    sim: &Arc<Sim>,
    op: Op,
    before: Vec<Struck>,
    mut request: Request,
    next: Next,
) -> Response {
    let twice = before.iter().find(|fault| fault.kind == Kind::DeliverTwice);
    let twice = twice.map(|fault| fault.value.time());
    for fault in before {
        match fault.kind {
            Kind::GoesOn | Kind::DeliverTwice => {}
            Kind::LateAccept => {
                happen_later(fault, request, next, twice).await;
                return hang_up();
            }
            Kind::DelayBefore => tokio::time::sleep(fault.value.time()).await,
            Kind::ExpiredUrl => drop(request.extensions_mut().insert(Expired)),
            _ => {
                take_in(request).await;
                return refuse(&fault);
            }
        }
    }
    let mut response = deliver(request, next, twice).await;
    if !response.status().is_success() {
        return response;
    }
    let after = sim.world().faults.strike_all(Phase::After, op);
    for fault in after {
        response = spoil(&fault, response).await;
    }
    response
}

/// The request with its whole body in memory; none if the body breaks off.
async fn whole(request: Request) -> Option<Request> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, KEPT_BODY).await.ok()?;
    Some(Request::from_parts(parts, Body::from(body)))
}

/// Reads a body that nobody will use. A server that answers and closes in the middle of an upload
/// resets the connection, and the client may never see the answer.
async fn take_in(request: Request) {
    let _ = axum::body::to_bytes(request.into_body(), KEPT_BODY).await;
}

/// Asks the media handler to treat the link as expired.
#[derive(Clone, Copy)]
pub(crate) struct Expired;

fn authorize(sim: &Sim, headers: &HeaderMap) -> Result<String, Refusal> {
    let refuse = |why| Err(Refusal::new(StatusCode::UNAUTHORIZED, why));
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(given) = given else {
        return refuse("API key is missing");
    };
    let (scheme, key) = given.split_once(' ').unwrap_or((given, ""));
    let key = key.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || key.is_empty() {
        return refuse("API key is missing");
    }
    let known = &sim.args.api_keys;
    if !known.is_empty() && !known.iter().any(|one| one == key) {
        return refuse("API key is invalid");
    }
    let version = headers.get("api-version").and_then(|value| value.to_str().ok());
    if sim.args.require_version && version != Some("1") {
        return Err(Refusal::invalid("API-Version header is missing or unknown, expected 1"));
    }
    Ok(key.to_owned())
}

/// The name under which the caller reached us, for links that reach us again.
fn base(sim: &Sim, headers: &HeaderMap) -> Arc<str> {
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    match host {
        Some(host) => format!("http://{host}").into(),
        None => format!("http://{}", sim.addr).into(),
    }
}

/// Runs the call when its client has long been cut off.
async fn happen_later(fault: Struck, request: Request, next: Next, twice: Option<Duration>) {
    // A body that does not arrive whole is a call that never happens.
    let Some(request) = whole(request).await else {
        return;
    };
    tokio::spawn(async move {
        tokio::time::sleep(fault.value.time()).await;
        deliver(request, next, twice).await;
    });
}

/// Hands a call to its handler; once more so much later if the network delivers it `twice`. Only
/// the first one's reply finds its way back.
async fn deliver(request: Request, next: Next, twice: Option<Duration>) -> Response {
    let Some(later) = twice else {
        return next.run(request).await;
    };
    // A body that does not arrive whole is a call that never happens.
    let Some((first, mut second)) = copies(request).await else {
        return hang_up();
    };
    let response = next.clone().run(first).await;
    // A request that had no effect is refused a second time: nobody would notice.
    let Some(EffectSeq(seq)) = response.extensions().get().copied() else {
        return response;
    };
    if let Some(caller) = second.extensions_mut().get_mut::<Caller>() {
        caller.double_of = Some(seq);
    }
    if later.is_zero() {
        next.run(second).await;
        return response;
    }
    tokio::spawn(async move {
        tokio::time::sleep(later).await;
        next.run(second).await;
    });
    response
}

/// The same request twice.
async fn copies(request: Request) -> Option<(Request, Request)> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, KEPT_BODY).await.ok()?;
    let first = Request::from_parts(parts.clone(), Body::from(body.clone()));
    Some((first, Request::from_parts(parts, Body::from(body))))
}

/// The reply of a call that never reached the vendor proper.
fn refuse(fault: &Struck) -> Response {
    match fault.kind {
        Kind::Status => failure(fault),
        Kind::Html => html(fault),
        Kind::Blocked => (StatusCode::FORBIDDEN, "error code: 1010").into_response(),
        Kind::Nok => not_ok(fault),
        Kind::RateLimit => {
            Refusal::too_many("Too many requests", fault.value.number()).into_response()
        }
        Kind::Unauthorized => {
            Refusal::new(StatusCode::UNAUTHORIZED, "API key is invalid").into_response()
        }
        Kind::UnauthorizedBare => (StatusCode::UNAUTHORIZED, "Unauthorized").into_response(),
        Kind::NoCredits => {
            let message = "You have insufficient credits for this operation";
            Refusal::new(code(fault), message).into_response()
        }
        _ => hang_up(),
    }
}

/// What becomes of a good reply on its way.
async fn spoil(fault: &Struck, response: Response) -> Response {
    match fault.kind {
        Kind::Delay => {
            tokio::time::sleep(fault.value.time()).await;
            response
        }
        Kind::StatusAfter => failure(fault),
        Kind::HtmlAfter => html(fault),
        // The reply says NOK, so the effect stays untold although the status is a 2xx.
        Kind::NokAfter => not_ok(fault),
        Kind::BadJson => halve(response).await,
        Kind::LostReply => hang_up(),
        Kind::Truncated => super::media::truncate(response).await,
        Kind::SlowMedia => super::media::dribble(response, fault.value.time()).await,
        _ => response,
    }
}

fn code(fault: &Struck) -> StatusCode {
    let number = fault.value.number().and_then(|number| u16::try_from(number).ok());
    number
        .and_then(|number| StatusCode::from_u16(number).ok())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn failure(fault: &Struck) -> Response {
    let status = code(fault);
    Refusal::new(status, status.canonical_reason().unwrap_or("Error")).into_response()
}

fn html(fault: &Struck) -> Response {
    let status = code(fault);
    let page = format!(
        "<html>\r\n<head><title>{status}</title></head>\r\n<body>\r\n<center><h1>{status}</h1>\
         </center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    );
    (status, [(header::CONTENT_TYPE, "text/html")], page).into_response()
}

fn not_ok(fault: &Struck) -> Response {
    (code(fault), nok("internal", "Something went wrong")).into_response()
}

async fn halve(response: Response) -> Response {
    let status = response.status();
    let whole = axum::body::to_bytes(response.into_body(), KEPT_BODY).await.unwrap_or_default();
    let half: Bytes = whole.slice(..whole.len() / 2);
    (status, [(header::CONTENT_TYPE, "application/json")], half).into_response()
}
