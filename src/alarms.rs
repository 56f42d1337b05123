//! Alarms that reach people and programs: performs what endpoints ask of the world.
//!
//! A post is signed with every secret that is live at the moment of the try, and goes where the endpoint then is: both
//! are read from its state, so that a try after a rotation or a correction does the right thing. Retries, dead
//! letters and the order of things are the engine's business.

pub mod configured;
mod mail;
mod post;
pub mod target;

#[cfg(feature = "fuzzing")]
pub(crate) use self::post::wait_of;

use anyhow::Context as _;
use throughline_actors::performer::{Attempt, Outcome, Performer};
use throughline_workflows::{
    endpoint::{Command, Endpoint, EndpointActivity, Facts, Report, Target},
    workflow::ActivityError,
};

use self::{
    post::{Answer, Message, Poster},
    target::Networks,
};
use crate::{channels::email::notice::Notice, config::Config, performers::Outside};

/// Reaches endpoints.
#[derive(Clone)]
pub struct Alarms {
    poster: Poster,
    outside: Outside,
    /// Under which address people find us.
    public_url: String,
}

/// The networks that `config` lets endpoints be in.
pub fn networks(config: &Config) -> Networks {
    // A server that only this machine reaches is being tried out: what it posts to is here too.
    let loopback = config.server.public_url.is_loopback();
    Networks { loopback, private: config.webhooks.allow_private_networks }
}

impl Alarms {
    /// The world outside as `config` describes it.
    ///
    /// # Errors
    /// No client can be made: the system offers no trust anchors.
    pub fn new(config: &Config, outside: Outside) -> anyhow::Result<Self> {
        let poster = Poster::new(networks(config)).context("no client for outgoing webhooks can be made")?;
        let public_url = config.server.public_url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { poster, outside, public_url })
    }

    async fn post(
        &self,
        facts: &Facts,
        id: &str,
        url: &str,
        body: String,
        attempt: &Attempt,
    ) -> Outcome<Command> {
        let secrets = facts.live_secrets(attempt.now).map(|secret| secret.text.reveal()).collect();
        let message = Message { id, url, secrets, body, now: attempt.now };
        match self.poster.post(message).await {
            Answer::Accepted => reported(id, Report::Accepted { attempts: attempt.number }),
            Answer::Gone(error) => {
                tracing::error!("message.id" = %id, "an endpoint says that it is gone and is switched off");
                reported(id, Report::Gone { error })
            }
            Answer::Refused(error) => Outcome::Refused(error),
            Answer::Later(after, error) => Outcome::Retry { after, error },
        }
    }

    async fn mail(&self, to: &str, words: Words, attempt: &Attempt) -> Outcome<Command> {
        let Words { id, subject, text, path } = words;
        let text = match path {
            Some(path) => format!("{text}\nLook at: {}{path}\n", self.public_url),
            None => text,
        };
        let notice =
            Notice { id: attempt.id.clone(), to: to.to_owned(), subject, text, at: attempt.asked_at };
        mail::send(&self.outside, &attempt.tenant, &notice, &id, attempt.number).await
    }
}

/// A mail's words.
struct Words {
    id: String,
    subject: String,
    text: String,
    path: Option<String>,
}

impl Performer<Endpoint> for Alarms {
    async fn perform(&self, activity: EndpointActivity, attempt: Attempt) -> Outcome<Command> {
        let state = match attempt.engine.state::<Endpoint>(&attempt.tenant, attempt.entity).await {
            Ok(state) => state.map(|(state, _)| state).unwrap_or_default(),
            Err(error) => return Outcome::Retry { after: None, error: failure(&error) },
        };
        let active = state.facts().filter(|facts| facts.is_active());
        let Some(facts) = active else { return reported(activity.id(), Report::Dropped) };
        match (activity, &facts.settings.target) {
            (EndpointActivity::Post { id, body }, Target::Url(url)) => {
                self.post(facts, &id, url, body, &attempt).await
            }
            (EndpointActivity::Mail { id, subject, text, path }, Target::Mail(to)) => {
                self.mail(to, Words { id, subject, text, path }, &attempt).await
            }
            // An endpoint never becomes one of another kind.
            (activity, _) => reported(activity.id(), Report::Dropped),
        }
    }
}

fn reported(id: &str, report: Report) -> Outcome<Command> {
    Outcome::Done(Some(Command::RecordDelivery { id: id.to_owned(), report }))
}

fn failure(error: &impl ToString) -> ActivityError {
    ActivityError { code: None, message: error.to_string() }
}
