//! The promise of a long case: two days by mail, over a restart, in one thread of the customer's mail program.

use std::collections::{BTreeMap, BTreeSet};

use mail_parser::MessageParser;
use serde_json::{Value, json};
use throughline_workflows::time::{Span, Timestamp};

use crate::{
    mail_server::{MailServer, Received},
    provider,
    server::{Server, Site},
};

const BEGIN: &str = "2026-11-02T09:00:00Z";

/// The longest that whoever waits hears nothing.
const INTERVAL: Span = Span::from_hours(12);

const ADA: &str = "ada@customer.example";

/// A mail in the customer's mail program: one that came, or one that she wrote.
struct Held {
    id: String,
    /// `References`, or `In-Reply-To` where there is none.
    ancestors: Vec<String>,
    subject: String,
}

/// The customer's mail program.
#[derive(Default)]
struct MailProgram {
    held: Vec<Held>,
}

impl MailProgram {
    fn hold(&mut self, received: &Received) {
        let references = received.ids("References");
        let ancestors = if references.is_empty() { received.ids("In-Reply-To") } else { references };
        self.held.push(Held { id: received.id(), ancestors, subject: received.header("Subject") });
    }

    /// A mail of hers: new, or what is written when she answers `to`.
    fn write(&mut self, id: &str, subject: &str, to: Option<&Received>, text: &str) -> String {
        let id = format!("{id}@customer.example");
        let mut head = format!("From: Ada Whitfield <{ADA}>\r\nMessage-ID: <{id}>\r\n");
        let mut ancestors = Vec::new();
        match to {
            None => head.push_str(&format!("To: support@example.com\r\nSubject: {subject}\r\n")),
            Some(to) => {
                ancestors = to.ids("References");
                ancestors.push(to.id());
                let chain = ancestors.iter().map(|id| format!("<{id}>")).collect::<Vec<_>>().join("\r\n ");
                let answer_to = Some(to.header("Reply-To")).filter(|there| !there.is_empty());
                head.push_str(&format!(
                    "To: {}\r\nSubject: {subject}\r\nIn-Reply-To: <{}>\r\nReferences: {chain}\r\n",
                    answer_to.unwrap_or_else(|| to.header("From")),
                    to.id()
                ));
            }
        }
        self.held.push(Held { id, ancestors, subject: subject.to_owned() });
        format!("{head}\r\n{text}\r\n")
    }

    /// The tops of the trees that mail programs build (RFC 5256, `REFERENCES`, without joining by subject): a mail
    /// hangs on the last that it refers to, that one on the one before, known or not.
    fn tops(&self) -> BTreeSet<&str> {
        let mut parents: BTreeMap<&str, &str> = BTreeMap::new();
        fn is_above<'a>(parents: &BTreeMap<&'a str, &'a str>, above: &str, mut id: &'a str) -> bool {
            loop {
                match parents.get(id) {
                    _ if id == above => return true,
                    Some(parent) => id = parent,
                    None => return false,
                }
            }
        }
        for mail in &self.held {
            for pair in mail.ancestors.windows(2) {
                let (parent, child) = (pair[0].as_str(), pair[1].as_str());
                if !parents.contains_key(child) && !is_above(&parents, child, parent) {
                    parents.insert(child, parent);
                }
            }
            parents.remove(mail.id.as_str());
            if let Some(parent) = mail.ancestors.last()
                && !is_above(&parents, &mail.id, parent)
            {
                parents.insert(&mail.id, parent);
            }
        }
        let above = |id: &&str| parents.get(id).copied();
        let tops = self.held.iter().map(|mail| std::iter::successors(Some(mail.id.as_str()), above));
        tops.filter_map(Iterator::last).collect()
    }

    /// That it shows one thread, whether it goes by references or by subject, and lacks nothing of it.
    fn shows_one_thread(&self) {
        let ids: BTreeSet<&str> = self.held.iter().map(|mail| mail.id.as_str()).collect();
        assert_eq!(ids.len(), self.held.len(), "each mail has an id of its own: {ids:#?}");
        assert_eq!(self.tops(), BTreeSet::from([self.held[0].id.as_str()]), "one tree under the first mail");
        let base = |subject: &str| subject.strip_prefix("Re: ").unwrap_or(subject).to_owned();
        let subjects: BTreeSet<String> = self.held.iter().map(|mail| base(&mail.subject)).collect();
        assert_eq!(subjects.len(), 1, "one subject: {subjects:?}");
        for (index, mail) in self.held.iter().enumerate().skip(1) {
            let before = &self.held[..index];
            let nearest = mail.ancestors.last().unwrap_or_else(|| panic!("{} hangs on nothing", mail.id));
            assert!(before.iter().any(|held| held.id == *nearest), "{} hangs on a mail nobody has", mail.id);
        }
    }
}

/// The words of a mail, as a mail program reads them.
fn words(received: &Received) -> String {
    let mail = MessageParser::default().parse(received.mail.as_bytes()).unwrap();
    mail.body_text(0).unwrap().into_owned()
}

fn is_automatic(received: &Received) -> bool {
    !received.header("Auto-Submitted").is_empty()
}

/// A conversation and its case, seen from outside.
struct Story {
    site: Site,
    server: Option<Server>,
    post: MailServer,
    program: MailProgram,
    path: String,
    case: String,
}

impl Story {
    /// A server with a manual clock and a mail server of its own, where nobody has written yet.
    fn new(config: &str) -> Self {
        let post = MailServer::start();
        let site = Site::new().set("CLOCK__MODE", "manual").set("CLOCK__START", BEGIN).config(config);
        let site = post.serve(site);
        let server = Some(site.start());
        let (path, case) = (String::new(), String::new());
        Self { site, server, post, program: MailProgram::default(), path, case }
    }

    fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    async fn find(&mut self) {
        let id = self
            .server()
            .until("/api/v1/conversations", |list| list["items"][0]["id"].as_str().map(str::to_owned))
            .await;
        self.path = format!("/api/v1/conversations/{id}");
    }

    async fn shown(&self) -> Value {
        self.server().get(&self.path).await.ok()
    }

    /// Lets time pass; whatever falls due is done when it returns.
    async fn pass(&self, by: &str) {
        self.server().post("/api/v1/system/clock/advance", &json!({ "by": by })).await.ok();
    }

    async fn escalate(&mut self, request: Value) {
        let answer = self.server().post(&format!("{}/escalate", self.path), &request).await.ok();
        self.case = answer["case_id"].as_str().unwrap().to_owned();
        // The case is opened after the answer, by the conversation that asked for it.
        let open = |case: &Value| (case["case_id"] == answer["case_id"]).then_some(());
        self.server().until(&format!("/api/v1/resolutions/{}", self.case), open).await;
    }

    async fn on_case(&self, what: &str, body: Value) {
        self.server().post(&format!("/api/v1/resolutions/{}/{what}", self.case), &body).await.ok();
    }

    /// The process is killed and starts again.
    fn restart(&mut self) {
        self.server.take().unwrap().kill();
        self.server = Some(self.site.start());
    }

    /// What has come since the last time, put into the customer's program; at least `count` mails in all.
    async fn mails(&mut self, count: usize) -> Vec<Received> {
        let received = self.post.until(count).await;
        let known: BTreeSet<String> = self.program.held.iter().map(|mail| mail.id.clone()).collect();
        for mail in received.iter().filter(|mail| !known.contains(&mail.id())) {
            self.program.hold(mail);
        }
        received
    }

    async fn answer(&mut self, id: &str, subject: &str, to: &Received, text: &str) {
        let before = self.shown().await["messages_total"].as_u64().unwrap();
        let mail = self.program.write(id, subject, Some(to), text);
        provider::mail(self.server(), mail).await.ok();
        let more = |shown: &Value| (shown["messages_total"].as_u64()? > before).then_some(());
        self.server().until(&self.path, more).await;
    }

    /// Two days of a case: its state moves, time passes, the process is killed, the customer and a person write.
    async fn two_days(&mut self, subject: &str, before: usize) {
        let answered = format!("Re: {subject}");
        self.pass("11h").await;
        self.on_case("status", json!({ "status": "awaiting_fix", "note": "A full disk." })).await;
        self.pass("13h").await;
        let first_day = self.mails(before + 2).await;
        self.restart();
        self.pass("30m").await;
        self.answer("question", &answered, first_day.last().unwrap(), "Is anybody there?").await;
        assert_eq!(self.shown().await["status"], "escalated", "a question keeps it escalated");
        self.pass("5h").await;
        self.on_case("updates", json!({ "text": "We are on it, Ada. A person wrote this." })).await;
        self.on_case("status", json!({ "status": "fix_in_progress" })).await;
        self.pass("13h").await;
        self.restart();
        self.on_case("status", json!({ "status": "monitoring" })).await;
        self.pass("6h").await;
        let solution = json!({
            "root_cause": "A full disk.",
            "fix_description": "A larger one.",
            "customer_summary": "Your parcel is found. A person wrote this too.",
        });
        self.on_case("resolve", solution).await;
        self.server().until(&self.path, |shown| (shown["status"] == "resolved").then_some(())).await;
        self.pass("1m").await;
        let solved = self
            .server()
            .until(&self.path, |shown| {
                let all = shown["messages"].as_array()?;
                let summary = all.iter().find(|message| {
                    message["content"].as_str().is_some_and(|text| text.contains("Your parcel is found"))
                })?;
                (summary["delivery"]["status"] == "sent").then(|| summary["provider_message_id"].clone())
            })
            .await;
        let received = self.mails(1).await;
        let last =
            received.iter().find(|mail| solved == mail.id().as_str()).expect("it came by mail").clone();
        self.answer("thanks", &answered, &last, "Thank you!").await;
        self.server().until(&self.path, |shown| (shown["status"] == "reopened").then_some(())).await;
        self.pass("12h").await;
    }

    /// That the promise was kept, as the customer and the API see it.
    async fn was_kept(&mut self, subject: &str) {
        let received = self.mails(1).await;
        self.program.shows_one_thread();
        let ids: BTreeSet<String> = received.iter().map(Received::id).collect();
        assert_eq!(ids.len(), received.len(), "no mail came twice: {received:#?}");
        let texts: BTreeSet<String> = received.iter().map(words).collect();
        assert_eq!(texts.len(), received.len(), "nothing was said twice: {received:#?}");
        for mail in &received {
            assert_eq!(mail.header("Subject"), format!("Re: {subject}"), "{mail:#?}");
            assert_eq!(mail.to, [ADA]);
            let by_person = words(mail).contains("A person wrote this");
            assert_eq!(is_automatic(mail), !by_person, "{mail:#?}");
        }

        let shown = self.shown().await;
        let messages = shown["messages"].as_array().unwrap();
        let outbound: Vec<&Value> = messages.iter().filter(|one| one["direction"] == "outbound").collect();
        let by_mail: BTreeSet<String> = outbound
            .iter()
            .filter(|one| one["channel"] == "email")
            .map(|one| one["provider_message_id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(by_mail, ids, "what is on record is what was received");
        let mut heard: Vec<Timestamp> =
            outbound.iter().map(|one| one["sent_at"].as_str().unwrap().parse().unwrap()).collect();
        heard.sort();
        heard.dedup();
        for pair in heard.windows(2) {
            assert!(pair[1].since(pair[0]) <= INTERVAL, "silence from {} to {}: {shown:#}", pair[0], pair[1]);
        }
        let told: Vec<&Received> = received.iter().filter(|mail| words(mail).contains(&self.case)).collect();
        let history = self.shown().await["events"].to_string();
        assert!(told.len() >= 4, "{} machine updates name the case: {received:#?} {history}", told.len());
        let breaches = self.server().get("/api/v1/sla/breaches?clock=silence").await.ok();
        assert_eq!(breaches["total"], 0, "{breaches:#}");
    }
}

#[tokio::test]
async fn two_days_of_a_case_that_began_by_mail_are_one_thread() {
    let subject = "My parcel has not come";
    let mut story = Story::new("");
    let mail = story.program.write("first", subject, None, "Where is it?");
    provider::mail(story.server(), mail).await.ok();
    story.mails(1).await;
    story.find().await;
    let request = json!({
        "issue_type": "technical", "owning_team": "engineering", "severity": "P1", "summary": "The parcel is lost."
    });
    story.escalate(request).await;
    story.mails(2).await;
    story.on_case("window", json!({ "expected_by": "2026-11-04T12:00:00Z" })).await;
    story.two_days(subject, 2).await;
    story.was_kept(subject).await;
    let update =
        story.post.received().into_iter().find(|mail| words(mail).contains("is still open")).unwrap();
    assert!(words(&update).contains("We expect to have it solved by"), "the window of a person: {update:#?}");
}

#[tokio::test]
async fn two_days_of_a_case_that_began_elsewhere_hang_on_our_first_mail() {
    let subject = "My parcel has not come";
    let mut story = Story::new("[escalation.windows]\ntechnical = { P1 = \"24h\" }\n");
    let message = json!({
        "id": "first", "from": { "email": ADA, "name": "Ada Whitfield" }, "subject": subject, "text": "Where is it?"
    });
    let url = format!("{}/api/webhooks/generic/web", story.server().base);
    let request = story.server().client.post(url).json(&message);
    crate::server::Answer::of(request).await.ok();
    story.find().await;
    let request = json!({ "issue_type": "technical", "owning_team": "engineering", "severity": "P1" });
    story.escalate(request).await;
    let case = story.server().get(&format!("/api/v1/resolutions/{}", story.case)).await.ok();
    assert_eq!(case["continuation_channel"], "email", "{case:#}");
    assert_eq!(case["window_source"], "policy", "{case:#}");
    story.two_days(subject, 0).await;
    story.was_kept(subject).await;
    let first = story.post.received().remove(0);
    assert!(first.ids("References").is_empty() && first.ids("In-Reply-To").is_empty(), "{first:#?}");
    let missed = story.post.received().iter().any(|mail| words(mail).contains("and it is not"));
    assert!(missed, "the window of the policy passed on the way");
}
