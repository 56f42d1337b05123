//! A load that knows what it was promised: senders that write message after message until the server is gone, and
//! the check that every acknowledged message is there, once and in order.

use std::{
    collections::BTreeMap,
    process::ExitStatus,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rand::{Rng, rngs::StdRng};
use serde_json::Value;
use tokio::{sync::Notify, task::JoinHandle};

use crate::{provider, server::Server};

/// Senders on both doors; what they know outlives the server.
pub(crate) struct Load {
    senders: Vec<Sender>,
}

impl Load {
    /// So many senders on each of the doors `twilio/sms` and `generic`.
    pub(crate) fn new(on_each_door: usize) -> Self {
        let sender = |number: usize| Sender {
            number,
            sms: number.is_multiple_of(2),
            acknowledged: Arc::default(),
            in_doubt: false,
            may_be_refused: false,
        };
        Self { senders: (0..on_each_door * 2).map(sender).collect() }
    }

    /// Whoever is told 503 asks again: the disk is meant to fail.
    pub(crate) fn on_a_failing_disk(mut self) -> Self {
        self.senders.iter_mut().for_each(|sender| sender.may_be_refused = true);
        self
    }

    /// Messages that were answered with a 2xx.
    pub(crate) fn acknowledged(&self) -> usize {
        self.senders.iter().map(Sender::acknowledged).sum()
    }

    /// Everybody sends while `work` is done; then the server is killed. `work` is told what was acknowledged so far.
    pub(crate) async fn during<T>(
        &mut self,
        server: Server,
        work: impl AsyncFnOnce(&Server, &dyn Fn() -> Vec<usize>) -> T,
    ) -> T {
        let server = Arc::new(server);
        let counts: Vec<_> = self.senders.iter().map(|sender| sender.acknowledged.clone()).collect();
        let sending = self.spawn(&server, &Arc::new(Notify::new()));
        let so_far = || counts.iter().map(|count| count.load(Ordering::SeqCst)).collect();
        let done = work(&server, &so_far).await;
        kill(&server);
        self.join(sending).await;
        done
    }

    fn spawn(&mut self, server: &Arc<Server>, progress: &Arc<Notify>) -> Vec<JoinHandle<Sender>> {
        let senders = self.senders.drain(..);
        let spawned = senders.map(|mut sender| {
            let (server, progress) = (server.clone(), progress.clone());
            tokio::spawn(async move {
                sender.send(&server, &progress).await;
                drop(server);
                sender
            })
        });
        spawned.collect()
    }

    async fn join(&mut self, sending: Vec<JoinHandle<Sender>>) {
        for sender in sending {
            self.senders.push(sender.await.unwrap());
        }
        self.senders.sort_by_key(|sender| sender.number);
    }

    /// Every sender's first messages, as many as `promised` says at least, are in their conversation, once and in order.
    pub(crate) async fn assert_kept(&self, server: &Server, promised: &[usize]) {
        let found = self.timelines(server).await;
        for (sender, promised) in self.senders.iter().zip(promised) {
            let none = Vec::new();
            let messages = found.get(&sender.name()).unwrap_or(&none);
            assert!(
                messages.len() >= *promised,
                "{}: {promised} promised, {}",
                sender.name(),
                messages.len()
            );
            let in_order: Vec<String> = (0..messages.len()).map(|message| sender.text(message)).collect();
            assert_eq!(*messages, in_order, "each once and in order");
        }
        assert_eq!(server.get("/api/v1/system/dead-letters").await.ok()["total"], 0);
    }

    /// Everybody sends; after a random number of acknowledgements, and a random moment more, the server is killed.
    pub(crate) async fn until_killed(&mut self, server: Server, chance: &mut StdRng) {
        let server = Arc::new(server);
        let progress = Arc::new(Notify::new());
        let sending = self.spawn(&server, &progress);
        for _ in 0..chance.random_range(1..200) {
            progress.notified().await;
        }
        tokio::time::sleep(Duration::from_micros(chance.random_range(0..30_000))).await;
        kill(&server);
        self.join(sending).await;
    }

    /// Everybody sends until the server has ended by itself.
    pub(crate) async fn until_it_ends(&mut self, server: Server) -> ExitStatus {
        let server = Arc::new(server);
        let sending = self.spawn(&server, &Arc::new(Notify::new()));
        self.join(sending).await;
        Arc::into_inner(server).expect("every sender has let go of it").ended()
    }

    /// Every acknowledged message is in its conversation, once and in order; beyond them at most the one that each
    /// sender had sent without an answer.
    pub(crate) async fn assert_all_there(&self, server: &Server) {
        let found = self.timelines(server).await;
        for sender in self.senders.iter().filter(|sender| sender.acknowledged() > 0) {
            let none = Vec::new();
            let messages = found.get(&sender.name()).unwrap_or(&none);
            let sent = sender.acknowledged() + usize::from(sender.in_doubt);
            assert!(
                (sender.acknowledged()..=sent).contains(&messages.len()),
                "{}: {} acknowledged, {} found",
                sender.name(),
                sender.acknowledged(),
                messages.len()
            );
            let in_order: Vec<String> = (0..messages.len()).map(|message| sender.text(message)).collect();
            assert_eq!(*messages, in_order, "each once and in order");
        }
        assert_eq!(server.get("/api/v1/system/dead-letters").await.ok()["total"], 0);
    }

    /// Every sender's messages as their conversation shows them, once the inbox is empty.
    async fn timelines(&self, server: &Server) -> BTreeMap<String, Vec<String>> {
        let status = server
            .until("/api/v1/system/status", |status| {
                (status["commits"]["inbox_pending"] == 0).then(|| status.clone())
            })
            .await;
        let seq = status["seq"].as_u64().unwrap();
        let list = server.get(&format!("/api/v1/conversations?page_size=200&min_seq={seq}")).await.ok();
        let conversations = list["items"].as_array().unwrap();
        assert!(conversations.len() <= self.senders.len(), "one conversation for each sender");
        let mut found = BTreeMap::new();
        for conversation in conversations {
            let texts = inbound_texts(server, conversation["id"].as_str().unwrap()).await;
            let name = texts[0].split(' ').next().unwrap().to_owned();
            assert!(found.insert(name, texts).is_none(), "two conversations of one sender");
        }
        found
    }
}

/// What the customer wrote, page by page.
async fn inbound_texts(server: &Server, conversation: &str) -> Vec<String> {
    let mut texts = Vec::new();
    for number in 1.. {
        let path = format!("/api/v1/conversations/{conversation}/messages?page={number}&page_size=200");
        let page = server.get(&path).await.ok();
        let items = page["items"].as_array().unwrap();
        texts.extend(items.iter().filter(|message| message["direction"] == "inbound").map(content));
        if items.len() < 200 {
            break;
        }
    }
    texts
}

fn content(message: &Value) -> String {
    message["content"].as_str().unwrap().to_owned()
}

/// Kills a server that other tasks still hold.
fn kill(server: &Server) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(server.pid()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// One sender: an address that writes message after message, and asks again until each is taken.
struct Sender {
    number: usize,
    sms: bool,
    /// Messages that were answered with a 2xx.
    acknowledged: Arc<AtomicUsize>,
    /// Whether the next one has been sent without an answer.
    in_doubt: bool,
    /// Whether a 503 is to be expected.
    may_be_refused: bool,
}

impl Sender {
    /// Sends until the server is gone.
    async fn send(&mut self, server: &Server, acknowledged: &Notify) {
        loop {
            let next = self.acknowledged();
            let (id, text) = (self.id(next), self.text(next));
            let taken = if self.sms {
                let from = format!("+1555010{:04}", 1000 + self.number);
                provider::sms(server, &id, &from, &text).await
            } else {
                let url = format!("{}/api/webhooks/generic/web", server.base);
                let email = format!("sender{}@example.com", self.number);
                server.client.post(url).json(&provider::generic_body(&id, &email, &text)).send().await
            };
            match taken {
                Ok(answer) if answer.status().is_success() => {
                    self.acknowledged.fetch_add(1, Ordering::SeqCst);
                    self.in_doubt = false;
                    acknowledged.notify_one();
                }
                Ok(answer) if self.may_be_refused && answer.status() == 503 => {
                    self.in_doubt = true;
                    tokio::task::yield_now().await;
                }
                Ok(answer) => panic!("a webhook under load was answered {}", answer.status()),
                Err(_gone) => {
                    self.in_doubt = true;
                    return;
                }
            }
        }
    }

    fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::SeqCst)
    }

    fn id(&self, message: usize) -> String {
        format!("{}-{}-{message}", if self.sms { "SM" } else { "g" }, self.number)
    }

    fn text(&self, message: usize) -> String {
        format!("{} says {message}", self.name())
    }

    fn name(&self) -> String {
        format!("{}{}", if self.sms { "sms" } else { "web" }, self.number)
    }
}
