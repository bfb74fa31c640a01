//! Limits for connections of unauthenticated clients: their number, a deadline
//! for headers, a deadline for the whole exchange, and a budget of bytes for all
//! bodies together.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use futures::StreamExt as _;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections at once; more are closed unanswered.
const MOST_CONNECTIONS: usize = 512;
/// The deadline for headers.
const HEADERS: Duration = Duration::from_secs(10);
/// The deadline for a whole exchange; an image event waits for its pull request.
const EXCHANGE: Duration = Duration::from_secs(60);
/// The deadline for a body: GitHub waits ten seconds for an answer.
const BODY: Duration = Duration::from_secs(10);
/// The most KiB of bodies in memory, beyond what each may always send.
const MOST_KIB: usize = 64 << 10;
/// Bytes that any body may send whatever the others do: nearly every event of
/// GitHub is smaller. All connections together: 32 MiB.
const ALWAYS: usize = 64 << 10;

/// Serves until `stop`; then gives open connections five seconds to finish.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let connections = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let open = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let Ok((stream, _)) = accepted else {
            // Most likely out of file descriptors: open connections end soon.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(permit) = connections.clone().try_acquire_owned() else {
            continue;
        };
        let (service, stop) = (TowerToHyperService::new(router.clone()), stop.clone());
        open.spawn(async move {
            // One exchange per connection: an idle one would occupy a slot.
            let mut server = http1::Builder::new();
            server
                .timer(TokioTimer::new())
                .header_read_timeout(HEADERS)
                .keep_alive(false)
                .max_buf_size(64 << 10);
            let connection = server.serve_connection(TokioIo::new(stream), service);
            let mut connection = std::pin::pin!(connection);
            let end = tokio::time::sleep(EXCHANGE);
            tokio::select! {
                _ = connection.as_mut() => {}
                () = end => {}
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    let _ = tokio::time::timeout(Duration::from_secs(5), connection).await;
                }
            }
            drop(permit);
        });
    }
    open.close();
    open.wait().await;
}

/// The budget of bytes for bodies in memory, over all connections.
#[derive(Clone)]
pub struct Bodies(Arc<Semaphore>);

/// A body, and its share of the budget.
pub struct Held {
    pub bytes: Bytes,
    _part: Vec<OwnedSemaphorePermit>,
}

/// Why a body is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTaken {
    TooLong,
    TooSlow,
    /// Other bodies use the whole budget just now.
    Busy,
    Broken,
}

impl Default for Bodies {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST_KIB)))
    }
}

impl Bodies {
    /// Reads a body of at most `most` bytes.
    pub async fn read(&self, body: Body, most: usize) -> Result<Held, NotTaken> {
        let read = async {
            let (mut bytes, mut part, mut stream) =
                (Vec::new(), Vec::new(), body.into_data_stream());
            while let Some(chunk) = stream.next().await {
                let chunk = chunk.map_err(|_| NotTaken::Broken)?;
                if bytes.len() + chunk.len() > most {
                    return Err(NotTaken::TooLong);
                }
                // By the received bytes, not by Content-Length: a client that announces much and
                // sends little takes no budget.
                let beyond = |length: usize| length.saturating_sub(ALWAYS).div_ceil(1024);
                let wanted = beyond(bytes.len() + chunk.len()) - beyond(bytes.len());
                if wanted > 0 {
                    let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
                    part.push(
                        self.0
                            .clone()
                            .try_acquire_many_owned(wanted)
                            .map_err(|_| NotTaken::Busy)?,
                    );
                }
                bytes.extend_from_slice(&chunk);
            }
            Ok(Held {
                bytes: bytes.into(),
                _part: part,
            })
        };
        tokio::time::timeout(BODY, read)
            .await
            .unwrap_or(Err(NotTaken::TooSlow))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bodies_have_one_budget() {
        let (large, most) = (ALWAYS + 2048, ALWAYS + 4096);
        let bodies = Bodies(Arc::new(Semaphore::new(3)));
        let read = async |length: usize| bodies.read(Body::from(vec![0; length]), most).await;
        let held = read(large).await.map_err(|why| format!("{why:?}")).unwrap();
        assert_eq!(read(large).await.err(), Some(NotTaken::Busy));
        assert_eq!(read(most + 1).await.err(), Some(NotTaken::TooLong));
        // Large bodies of others keep nobody's small one out.
        assert!(read(ALWAYS).await.is_ok());
        assert_eq!(held.bytes.len(), large);
        drop(held);
        assert!(read(ALWAYS + 3072).await.is_ok());
    }
}
