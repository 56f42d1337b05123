//! The story: what the people do and what befalls them, against a real server.

use std::path::Path;

use anyhow::anyhow;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use throughline_workflows::time::{Span, Timestamp};

use super::{
    stage::{Cast, PHONE, Stage, member},
    timeline::{Line, moment, short, text},
};

/// Where she gets mail.
const MAIL: &str = "ada@whitfield.example";

/// What the story leaves behind: what was done, and what the server says of it.
#[derive(Debug)]
pub(super) struct Outcome {
    /// What opens the server.
    pub(super) token: String,
    pub(super) conversation_id: String,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) case_id: String,
    /// What the people did and what befell them.
    pub(super) acts: Vec<Line>,
    /// The conversation at the end.
    pub(super) conversation: Value,
    /// The conversation as it was when the server was killed, and once it was there again.
    pub(super) before: Value,
    pub(super) after: Value,
    /// Since when and until when there was no server.
    pub(super) down: (Timestamp, Timestamp),
    pub(super) breaches: Value,
    pub(super) silence: Value,
    /// What Ada and Grace wrote, word for word.
    pub(super) of_ada: Vec<String>,
    pub(super) of_grace: Vec<String>,
    /// What the provider of text messages took.
    pub(super) taken: Vec<String>,
    /// What an engineer's words to the customer were answered.
    pub(super) refused: StatusCode,
}

/// Plays it in `folder`, from `start` on; `progress` is told how much of it is over.
pub(super) async fn play(
    folder: &Path,
    start: Timestamp,
    progress: &impl Fn(Span, Span),
) -> anyhow::Result<Outcome> {
    let mut stage = Stage::set(folder, start, progress).await?;
    let told = stage.story().await;
    // However it went: nobody writes to the folder any more.
    stage.server.kill().await?;
    told
}

impl<F: Fn(Span, Span)> Stage<'_, F> {
    async fn story(&mut self) -> anyhow::Result<Outcome> {
        let cast = self.cast().await?;
        let (conversation, case) = self.first_day(&cast).await?;
        let refused = self.engineer_writes(&cast, &case).await?;
        self.night_and_refusals(&cast, &case).await?;
        let crash = self.crash(&cast, &conversation, &case).await?;
        self.last_hours(&cast, &conversation, &case).await?;
        self.close(&conversation, case, refused, crash).await
    }

    /// From the first words to a case.
    async fn first_day(&mut self, cast: &Cast) -> anyhow::Result<(String, String)> {
        let who = "writes by text message. She lives in Vienna, an hour ahead, and is not to be written to from 22:00 to 7:00";
        self.ada(
            who,
            "Hello, none of our three card terminals takes cards since this morning. We open at ten.",
        )
        .await?;
        let list = self.server.get(self.site.admin(), "/api/v1/conversations").await?;
        let conversation = list.pointer("/items/0/id").and_then(Value::as_str);
        let conversation =
            conversation.ok_or_else(|| anyhow!("Ada's message opened no conversation"))?.to_owned();
        let path = |what: &str| format!("/api/v1/conversations/{conversation}/{what}");

        self.until(0, 12).await?;
        self.act("Grace", "takes the conversation", None);
        self.post(&cast.grace, &path("assign"), json!({ "agent_id": cast.grace_id })).await?;
        let words = "Good morning Ada, this is Grace. I am looking into it. What do the terminals show?";
        self.grace(cast, &path("messages"), "answers", words).await?;
        self.until(0, 20).await?;
        self.ada("answers", "All three say \"host unreachable\". The internet itself works.").await?;

        self.until(2, 0).await?;
        let words = "Thank you. That is beyond me, so I am giving it to our engineers. You will get the number of your case.";
        self.grace(cast, &path("messages"), "answers", words).await?;
        self.until(2, 10).await?;
        let request = json!({
            "issue_type": "technical", "owning_team": "engineering", "severity": "P1",
            "summary": "Three card terminals cannot reach the payment host since Monday morning.",
        });
        let case = self.post(&cast.grace, &path("escalate"), request).await?;
        let case = member(&case, "case_id")?;
        self.act("Grace", &format!("escalates to engineering as P1: case {case}"), None);
        let clocks = clocks(&self.conversation(&conversation).await?);
        self.act("Throughline", &format!("counts from now on: {clocks}"), None);
        self.until(2, 40).await?;
        self.linus(
            cast,
            (&case, "status"),
            json!({ "status": "investigating" }),
            "looks for the cause",
            None,
        )
        .await?;
        let added = json!({ "email": MAIL, "verified": true });
        let identities = format!("/api/v1/customers/{}/identities", cast.customer);
        self.post(&cast.grace, &identities, added).await?;
        self.act("Grace", &format!("notes Ada's mail address, {MAIL}, which she gave by telephone"), None);
        self.until(4, 30).await?;
        let note = "The payment host moved on Sunday; the terminals still hold its old address.";
        self.linus(cast, (&case, "notes"), json!({ "text": note }), "writes an internal note", Some(note))
            .await?;
        self.linus(
            cast,
            (&case, "status"),
            json!({ "status": "awaiting_fix" }),
            "sets the case to \"awaiting fix\"",
            None,
        )
        .await?;
        self.window(cast, &case, Span::from_hours(28), "expects a fix by").await?;
        Ok((conversation, case))
    }

    /// The rule that holds whatever else happens.
    async fn engineer_writes(&mut self, cast: &Cast, case: &str) -> anyhow::Result<StatusCode> {
        self.until(4, 40).await?;
        let words = "hey, just reboot the boxes";
        let path = format!("/api/v1/resolutions/{case}/updates");
        let reply =
            self.server.ask(Method::POST, &cast.linus, &path, Some(&json!({ "text": words }))).await?;
        let why = text(&reply.body, "detail").unwrap_or_default();
        let what =
            format!("tries to write to Ada himself, and is refused ({}): {why}", reply.status.as_u16());
        self.act("Linus", &what, Some(words));
        self.rest().await?;
        Ok(reply.status)
    }

    /// Updates by the machine: before the quiet hours, past a provider that is down, and when a window has passed.
    async fn night_and_refusals(&mut self, cast: &Cast, case: &str) -> anyhow::Result<()> {
        self.until(22, 30).await?;
        self.provider.set_down(true);
        self.act(
            "(rehearsal)",
            "the provider of text messages goes down: it answers 503 to everything",
            None,
        );
        self.until_second((24 * 60 + 29) * 60 + 30).await?;
        let tried = self.tried().await?;
        self.act("(rehearsal)", &tried, None);
        self.until(26, 0).await?;
        self.provider.set_down(false);
        self.act("(rehearsal)", "the provider of text messages is there again", None);
        // The expected time passes at +28:00.
        self.until(28, 20).await?;
        self.window(cast, case, Span::from_mins(47 * 60 + 30), "tests took longer; expects the fix by")
            .await?;
        self.until(28, 40).await?;
        let path = format!("/api/v1/resolutions/{case}/updates");
        let words =
            "Ada, I am sorry that it was not today. The fix exists and is being tested; tonight it goes out.";
        self.grace(cast, &path, "writes herself, by which the next update is due later", words).await
    }

    /// The server dies while an update is owed, and comes back after it was due.
    async fn crash(
        &mut self,
        cast: &Cast,
        conversation: &str,
        case: &str,
    ) -> anyhow::Result<(Value, Value, (Timestamp, Timestamp))> {
        self.until(31, 0).await?;
        self.linus(
            cast,
            (case, "status"),
            json!({ "status": "fix_in_progress" }),
            "sets the case to \"fix in progress\"",
            None,
        )
        .await?;
        self.until(36, 0).await?;
        let before = self.conversation(conversation).await?;
        let words = "Thanks, Grace. Will we be able to take cards tomorrow morning?";
        let sid = self.next_sid();
        self.site.text(&self.server, &sid, PHONE, words).await?;
        self.of_ada.push(words.to_owned());
        self.act("Ada", "asks by text message, and the server answers 200", Some(words));
        let killed = self.now;
        self.act(
            "(rehearsal)",
            "kill -9 in that same moment: the server is dead, and an update is owed to Ada",
            None,
        );
        let back = self.start + Span::from_hours(41);
        self.server.kill().await?;
        self.server = self.site.start(back).await?;
        self.now = back;
        self.act("(rehearsal)", "the server is started again on the same folder, five hours later", None);
        self.rest().await?;
        self.until(41, 1).await?;
        // Providers post again what they are not sure of.
        self.site.text(&self.server, &sid, PHONE, words).await?;
        self.rest().await?;
        self.act("(rehearsal)", "the provider posts Ada's last message once more, as providers do", None);
        let after = self.conversation(conversation).await?;
        Ok((before, after, (killed, back)))
    }

    /// The fix, the end, and a word of thanks.
    async fn last_hours(&mut self, cast: &Cast, conversation: &str, case: &str) -> anyhow::Result<()> {
        self.until(46, 30).await?;
        self.linus(
            cast,
            (case, "status"),
            json!({ "status": "monitoring" }),
            "sets the case to \"monitoring\": the fix is out",
            None,
        )
        .await?;
        self.until(46, 40).await?;
        let path = format!("/api/v1/conversations/{conversation}/messages");
        let words = "Good morning Ada: yes, by half past eight. I will write the moment it is certain.";
        self.grace(cast, &path, "answers what Ada asked in the evening", words).await?;
        self.until(47, 10).await?;
        let words = "Ada, your terminals are fixed: please switch each one off and on once, and cards will work again.";
        let end = json!({
            "root_cause": "The payment host moved; the terminals held its old address for good.",
            "fix_description": "The terminals look the address up anew at every start.",
            "customer_summary": words,
        });
        self.post(&cast.grace, &format!("/api/v1/resolutions/{case}/resolve"), end).await?;
        self.of_grace.push(words.to_owned());
        self.act("Grace", "resolves the case, with cause and fix, and tells Ada", Some(words));
        self.rest().await?;
        self.until(47, 45).await?;
        self.ada("answers", "Thank you! All three work. You kept your word.").await?;
        self.until(48, 0).await
    }
}

/// The clocks that run, in words.
fn clocks(conversation: &Value) -> String {
    let clock = |name: &str| {
        let due = conversation.pointer(&format!("/sla/{name}")).filter(|clock| clock.get("met_at").is_none());
        Some(format!("{} due {}", name.replace('_', " "), short(moment(due?, "due_at")?)))
    };
    let update = conversation.get("silence").and_then(|silence| moment(silence, "next_update_due_at"));
    let update = update.map(|at| format!("next word to Ada due {}", short(at)));
    let running = ["first_response", "next_response", "resolution"].into_iter().filter_map(clock);
    running.chain(update).collect::<Vec<_>>().join(", ")
}
