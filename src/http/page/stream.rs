//! Server-sent events: an open page is told that something changed, and reads itself again.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::{Stream, StreamExt as _};

use super::{Missing, Server, ready};

/// A page reads itself again at most this often.
const PAUSE: Duration = Duration::from_millis(500);
/// When a page that lost its connection asks again.
const RETRY: Duration = Duration::from_millis(300);
/// How long one stream lasts.
const LONGEST: Duration = Duration::from_secs(50);
/// A comment keeps proxies from closing the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub async fn stream(
    State(server): State<Arc<Server>>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Missing> {
    let changes = ready(&server)?.activities.changes();
    let events = futures::stream::unfold(changes, async |mut changes| {
        changes.changed().await.ok()?;
        let count = *changes.borrow_and_update();
        Some((count, changes))
    });
    let events = events.then(async |count| {
        tokio::time::sleep(PAUSE).await;
        Ok(Event::default().event("message").data(count.to_string()))
    });
    // The listener ends every exchange after a minute: the page asks again at once.
    let events = events.take_until(Box::pin(tokio::time::sleep(LONGEST)));
    let first = Event::default().retry(RETRY).comment("open");
    let events = futures::stream::once(async { Ok(first) }).chain(events);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}
