//! Where the story is played: the server, the provider, the people's tokens, and the clock that is moved by hand.

use std::path::Path;

use anyhow::{anyhow, ensure};
use reqwest::StatusCode;
use serde_json::{Value, json};

use throughline_workflows::time::{Span, Timestamp};

use super::{
    provider::Provider,
    server::{Server, Site},
    story::Outcome,
    timeline::{Line, short, text},
};

/// Where Ada gets text messages.
pub(super) const PHONE: &str = "+4366012345678";

/// How long all of it lasts.
const LENGTH: Span = Span::from_hours(48);

/// Everybody's token, and whom the acts are about.
#[derive(Debug)]
pub(super) struct Cast {
    pub(super) grace: String,
    pub(super) linus: String,
    pub(super) grace_id: String,
    pub(super) customer: String,
}

/// The place, and what has been done on it so far.
pub(super) struct Stage<'a, F> {
    pub(super) site: Site,
    pub(super) server: Server,
    pub(super) provider: Provider,
    pub(super) start: Timestamp,
    pub(super) now: Timestamp,
    pub(super) of_ada: Vec<String>,
    pub(super) of_grace: Vec<String>,
    acts: Vec<Line>,
    progress: &'a F,
}

impl<'a, F: Fn(Span, Span)> Stage<'a, F> {
    /// A provider, and a server in `folder` whose clock stands at `start`.
    pub(super) async fn set(folder: &Path, start: Timestamp, progress: &'a F) -> anyhow::Result<Self> {
        let provider = Provider::start().await?;
        let site = Site::new(folder, &provider.base);
        let server = site.start(start).await?;
        let (of_ada, of_grace, acts) = Default::default();
        Ok(Self { site, server, provider, start, now: start, of_ada, of_grace, acts, progress })
    }

    /// Who takes part.
    pub(super) async fn cast(&mut self) -> anyhow::Result<Cast> {
        let grace_id = self.agent("Grace Hollis", "agent").await?;
        let linus_id = self.agent("Linus Berg", "engineer").await?;
        let grace = self.token("agent", &grace_id).await?;
        let linus = self.token("engineer", &linus_id).await?;
        let ada = json!({
            "identity": { "phone_numbers": [PHONE] },
            "profile": { "name": "Ada Whitfield" },
            "preferences": { "timezone": "Europe/Vienna", "quiet_hours": "22:00-07:00" },
        });
        let customer = self.admin("/api/v1/customers", ada).await?;
        Ok(Cast { grace, linus, grace_id, customer: member(&customer, "id")? })
    }

    async fn agent(&self, name: &str, role: &str) -> anyhow::Result<String> {
        let body = json!({ "name": name, "role": role, "status": "available" });
        member(&self.admin("/api/v1/agents", body).await?, "id")
    }

    async fn token(&self, role: &str, agent: &str) -> anyhow::Result<String> {
        let made = self.admin("/api/v1/tokens", json!({ "role": role, "agent_id": agent })).await?;
        member(&made, "secret")
    }

    async fn admin(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        self.server.post(self.site.admin(), path, body).await
    }

    /// Notes down what somebody did just now.
    pub(super) fn act(&mut self, who: &'static str, what: &str, words: Option<&str>) {
        let elapsed_seconds = self.now.since(self.start).as_secs();
        let (what, words) = (what.to_owned(), words.map(str::to_owned));
        self.acts.push(Line { at: self.now, elapsed_seconds, who, what, words });
    }

    /// Somebody changes something, and all that follows is done.
    pub(super) async fn post(&mut self, token: &str, path: &str, body: Value) -> anyhow::Result<Value> {
        let answer = self.server.post(token, path, body).await?;
        self.rest().await?;
        Ok(answer)
    }

    /// Waits until nothing is under way.
    pub(super) async fn rest(&mut self) -> anyhow::Result<()> {
        self.now = self.server.advance(self.site.admin(), 0).await?;
        Ok(())
    }

    /// Moves the clock on to so much after the beginning.
    pub(super) async fn until(&mut self, hours: u64, minutes: u64) -> anyhow::Result<()> {
        self.until_second((hours * 60 + minutes) * 60).await
    }

    /// The same, to the second.
    pub(super) async fn until_second(&mut self, second: u64) -> anyhow::Result<()> {
        let aim = self.start + Span::from_secs(second);
        // A hand at a time, so that whoever watches sees it move.
        while self.now < aim {
            let step = aim.since(self.now).as_secs().min(2 * 60 * 60);
            self.now = self.server.advance(self.site.admin(), step).await?;
            (self.progress)(self.now.since(self.start), LENGTH);
        }
        ensure!(self.now == aim, "the clock stands at {}, not at {aim}", self.now);
        Ok(())
    }

    /// What waits to be sent, and how often the provider refused it.
    pub(super) async fn tried(&self) -> anyhow::Result<String> {
        let waiting = self.server.get(self.site.admin(), "/api/v1/system/activities").await?;
        let first =
            waiting.pointer("/items/0").ok_or_else(|| anyhow!("no message waits for the provider"))?;
        let tries = first.get("attempts").and_then(Value::as_u64).unwrap_or_default();
        let error = text(first, "last_error").unwrap_or("it did not say why");
        Ok(format!("the provider has refused it {tries} times: {error}"))
    }

    /// The provider's name of Ada's next message.
    pub(super) fn next_sid(&self) -> String {
        format!("SM{:032x}", 0xada0_0000_u64 + self.of_ada.len() as u64)
    }

    /// Ada writes by text message.
    pub(super) async fn ada(&mut self, what: &str, words: &str) -> anyhow::Result<()> {
        self.site.text(&self.server, &self.next_sid(), PHONE, words).await?;
        self.of_ada.push(words.to_owned());
        self.act("Ada", what, Some(words));
        self.rest().await
    }

    /// Grace writes to Ada.
    pub(super) async fn grace(
        &mut self,
        cast: &Cast,
        path: &str,
        what: &str,
        words: &str,
    ) -> anyhow::Result<()> {
        self.act("Grace", what, Some(words));
        self.of_grace.push(words.to_owned());
        self.post(&cast.grace, path, json!({ "text": words })).await.map(drop)
    }

    /// Linus works on the case.
    pub(super) async fn linus(
        &mut self,
        cast: &Cast,
        (case, member): (&str, &str),
        body: Value,
        what: &str,
        words: Option<&str>,
    ) -> anyhow::Result<()> {
        self.act("Linus", what, words);
        self.post(&cast.linus, &format!("/api/v1/resolutions/{case}/{member}"), body).await.map(drop)
    }

    /// Linus says by when, counted from the beginning, he expects a fix.
    pub(super) async fn window(
        &mut self,
        cast: &Cast,
        case: &str,
        by: Span,
        what: &str,
    ) -> anyhow::Result<()> {
        let by = self.start + by;
        let what = format!("{what} {}", short(by));
        self.linus(cast, (case, "window"), json!({ "expected_by": by }), &what, None).await
    }

    /// All of the conversation.
    pub(super) async fn conversation(&self, id: &str) -> anyhow::Result<Value> {
        self.server.get(self.site.admin(), &format!("/api/v1/conversations/{id}")).await
    }

    /// What is there at the end.
    pub(super) async fn close(
        &self,
        conversation: &str,
        case_id: String,
        refused: StatusCode,
        (before, after, down): (Value, Value, (Timestamp, Timestamp)),
    ) -> anyhow::Result<Outcome> {
        let breaches = self.server.get(self.site.admin(), "/api/v1/sla/breaches?page_size=200").await?;
        let silence = self.server.get(self.site.admin(), "/api/v1/silence?page_size=200").await?;
        Ok(Outcome {
            token: self.site.admin().to_owned(),
            conversation_id: conversation.to_owned(),
            start: self.start,
            end: self.now,
            case_id,
            conversation: self.conversation(conversation).await?,
            acts: self.acts.clone(),
            before,
            after,
            down,
            breaches,
            silence,
            of_ada: self.of_ada.clone(),
            of_grace: self.of_grace.clone(),
            taken: self.provider.taken(),
            refused,
        })
    }
}

/// A text that an answer has to hold.
pub(super) fn member(answer: &Value, name: &str) -> anyhow::Result<String> {
    let text = answer.get(name).and_then(Value::as_str);
    text.map(str::to_owned).ok_or_else(|| anyhow!("the server's answer has no {name}"))
}
