//! Load on a server: webhooks from many clients, in a burst, at a pace, or as fast as they are handled.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use throughline_actors::clock::Stopwatch;
use tokio::task::JoinHandle;

use super::{
    client::Client,
    server::Server,
    table::{quantile, rate},
};

/// Messages in the inbox from which on clients that wait for the handling pause, and to which it must have come down
/// before they go on: with less between the two it would measure the changes from one to the other.
const BACKLOG_MAX: u64 = 4_000;
const BACKLOG_LOW: u64 = 2_000;

/// Between two looks at it.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What clients got.
#[derive(Clone, Debug, Default)]
pub struct Load {
    /// How long each answer took.
    pub times: Vec<Duration>,
    /// From the first request to the last answer.
    pub took: Duration,
}

impl Load {
    /// Answers a second.
    pub fn rate(&self) -> f64 {
        rate(self.times.len(), self.took)
    }

    /// How long this share of the answers took at most.
    pub fn quantile(&mut self, share: f64) -> Duration {
        quantile(&mut self.times, share)
    }
}

/// How clients send.
#[derive(Clone, Debug)]
pub struct Senders {
    /// At once.
    pub clients: usize,
    /// Customers, of whom each has one conversation.
    pub customers: usize,
    /// The number of the next message: no two have the same.
    pub next: Arc<AtomicUsize>,
}

impl Senders {
    /// So many clients, who write for so many customers.
    pub fn new(clients: usize, customers: usize) -> Self {
        Self { clients, customers, next: Arc::default() }
    }

    /// One message of every customer in turn: each begins a conversation, where there is none.
    ///
    /// # Errors
    /// If a request is not answered with a 2xx.
    pub async fn open_conversations(&self, server: &Server) -> anyhow::Result<()> {
        let end = self.next.load(Ordering::Relaxed) + self.customers;
        self.send(server.address, move |number, _| number < end, None).await?;
        server.drained().await
    }

    /// As many as are answered in `span`.
    ///
    /// # Errors
    /// If a request is not answered with a 2xx.
    pub async fn burst(&self, server: &Server, span: Duration) -> anyhow::Result<Load> {
        self.send(server.address, move |_, watch| watch.elapsed() < span, None).await
    }

    /// As many as are handled in `span`: where the inbox grows, clients wait.
    ///
    /// # Errors
    /// If a request is not answered with a 2xx.
    pub async fn sustained(&self, server: &Server, span: Duration) -> anyhow::Result<Load> {
        let held = Arc::new(AtomicBool::new(false));
        let sending = self.send(server.address, move |_, watch| watch.elapsed() < span, Some(held.clone()));
        let holding = async {
            loop {
                match server.backlog().await {
                    Ok(backlog) if backlog > BACKLOG_MAX => held.store(true, Ordering::Relaxed),
                    Ok(backlog) if backlog < BACKLOG_LOW => held.store(false, Ordering::Relaxed),
                    Ok(_) => {}
                    Err(error) => return error,
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        tokio::select! {
            load = sending => load,
            error = holding => Err(error),
        }
    }

    /// So many, one after the other.
    ///
    /// # Errors
    /// If a request is not answered with a 2xx.
    pub async fn count(&self, server: &Server, count: usize) -> anyhow::Result<Load> {
        let end = self.next.load(Ordering::Relaxed) + count;
        self.send(server.address, move |number, _| number < end, None).await
    }

    /// Each client at its pace, until it is over.
    ///
    /// # Errors
    /// If a request is not answered with a 2xx.
    pub async fn paced(
        &self,
        server: &Server,
        pause: Duration,
        over: Arc<AtomicBool>,
    ) -> anyhow::Result<Load> {
        let (address, watch) = (server.address, Stopwatch::start());
        let asking = (0..self.clients).map(|client| {
            let (senders, over) = (self.clone(), over.clone());
            tokio::spawn(async move {
                let (mut times, begin) = (Vec::new(), pause * client as u32 / senders.clients as u32);
                let mut connection = Client::open(address).await?;
                let mut pace = tokio::time::interval_at(tokio::time::Instant::now() + begin, pause);
                while !over.load(Ordering::Relaxed) {
                    pace.tick().await;
                    let number = senders.next.fetch_add(1, Ordering::Relaxed);
                    times.push(senders.post(&mut connection, number).await?);
                }
                anyhow::Ok(times)
            })
        });
        joined(asking.collect(), watch).await
    }

    async fn post(&self, client: &mut Client, number: usize) -> anyhow::Result<Duration> {
        let watch = Stopwatch::start();
        let status = client.post("/api/webhooks/generic/web", None, &self.body(number)).await?;
        ensure!((200..300).contains(&status), "message {number} was answered {status}");
        Ok(watch.elapsed())
    }

    async fn send(
        &self,
        address: SocketAddr,
        go_on: impl Fn(usize, &Stopwatch) -> bool + Clone + Send + 'static,
        held: Option<Arc<AtomicBool>>,
    ) -> anyhow::Result<Load> {
        let watch = Stopwatch::start();
        let asking = (0..self.clients).map(|_| {
            let (senders, go_on, held) = (self.clone(), go_on.clone(), held.clone());
            tokio::spawn(async move {
                let (mut client, mut times) = (Client::open(address).await?, Vec::new());
                loop {
                    while held.as_ref().is_some_and(|held| held.load(Ordering::Relaxed)) {
                        tokio::time::sleep(LOOK_AGAIN / 10).await;
                    }
                    let number = senders.next.fetch_add(1, Ordering::Relaxed);
                    if !go_on(number, &watch) {
                        return anyhow::Ok(times);
                    }
                    times.push(senders.post(&mut client, number).await?);
                }
            })
        });
        joined(asking.collect(), watch).await
    }

    fn body(&self, number: usize) -> Vec<u8> {
        // A stride, so that neighbours in time are not neighbours in the store.
        let customer = number.wrapping_mul(7_919) % self.customers;
        format!(
            r#"{{"id":"bench-{number}","from":{{"email":"customer{customer}@example.com","name":"Ada"}},"text":"Where is my parcel? It should have been here on Monday."}}"#
        )
        .into_bytes()
    }
}

/// The answers of all clients, each a task of its own.
async fn joined(
    clients: Vec<JoinHandle<anyhow::Result<Vec<Duration>>>>,
    watch: Stopwatch,
) -> anyhow::Result<Load> {
    let mut load = Load::default();
    for times in futures::future::join_all(clients).await {
        load.times.extend(times.context("a client")??);
    }
    load.took = watch.elapsed();
    Ok(load)
}
