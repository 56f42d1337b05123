//! Nobody who waits and can be reached hears nothing for more than twelve hours.
//!
//! Who heard what and when stands in the ledger of the providers; who waits is told by what was recorded of statuses
//! and of messages that came in. What excuses a longer silence is a time and nothing else: the process was down,
//! storms raged over every channel of the customer, an operator had paused the conversation (nothing is sent until it is
//! resumed, and then at once what is overdue) or had given up what was about to be sent.

use std::collections::BTreeSet;

use throughline_workflows::{
    conversation::{DeliveryStatus, Event},
    ids::MessageId,
    message::Channel,
    time::{Span, Timestamp},
};

use crate::{
    outside::customer_id,
    providers::Accepted,
    run::Simulation,
    script::{Customer, Script},
    witness::Told,
};

/// The longest that a customer who waits may hear nothing.
const INTERVAL: Span = Span::from_hours(12);

/// How long before that the engine begins.
const MARGIN: Span = Span::from_mins(30);

/// Between two tries of a channel that does not work, at most.
const BACKOFF: Span = Span::from_mins(15);

/// For how many minutes a provider that does not recognise a repetition has to report on what may have arrived.
const UNCERTAIN_FOR: u64 = 11;

/// Between two tries to reach a customer who cannot be reached.
const HOURLY: Span = Span::from_mins(61);

/// Looks at every conversation up to the present.
pub(crate) fn check(simulation: &Simulation) -> Result<(), String> {
    let world = &simulation.world;
    let now = simulation.life.now();
    for (id, told) in &simulation.witness.conversations {
        let Some(from) = &told.from else { continue };
        let Some(customer) = world.script.customer(&told.tenant, from) else { continue };
        let customer = &as_known(customer, told, from);
        let mut heard = world.with_ledger(|ledger| {
            let of_this = |accepted: &&Accepted| {
                accepted.conversation.0 == *id && told.taken.contains(&accepted.message_id)
            };
            ledger.accepted.iter().filter(of_this).cloned().collect::<Vec<_>>()
        });
        if simulation.witness.operations.may_have_skipped_reports(&simulation.witness.conversations) {
            // Of a bounce whose report an operator gave up the engine never hears.
            let is_known = |said: &Accepted| told.failed.contains(&said.message_id);
            heard.iter_mut().filter(|said| !is_known(said)).for_each(|said| said.bounced_at = None);
        }
        let mut downs = simulation.downs.clone();
        downs.extend(simulation.witness.operations.silenced(*id, HOURLY));
        let case = Case { script: &world.script, customer, told, heard, downs };
        case.check(now).map_err(|broken| format!("conversation {id}: {broken}\n{}", case.story()))?;
    }
    Ok(())
}

/// The customer as the engine knows them: whoever wrote before they were registered is somebody with that one address.
fn as_known(customer: &Customer, told: &Told, from: &str) -> Customer {
    let mut known = customer.clone();
    let is_registered = |event: &Event| matches!(event, Event::Opened { customer, .. } if customer.id.0 == customer_id(known.number));
    if !told.events.iter().any(is_registered) {
        known.channels.retain(|_, address| address.to_string() == from);
    }
    known
}

/// One conversation, and all that matters of its customer.
struct Case<'a> {
    script: &'a Script,
    customer: &'a Customer,
    told: &'a Told,
    /// What the customer heard and the engine knows of; what it does not know it says again.
    heard: Vec<Accepted>,
    /// From when to when nothing could be sent: the process was down, the conversation was paused, or somebody had given
    /// up what would have been sent.
    downs: Vec<(Timestamp, Timestamp)>,
}

impl Case<'_> {
    fn check(&self, now: Timestamp) -> Result<(), String> {
        let mut moments: BTreeSet<Timestamp> = self.told.statuses.iter().map(|(at, _)| *at).collect();
        moments.extend(self.heard.iter().map(|said| said.at));
        moments.extend(self.heard.iter().filter_map(|said| said.bounced_at));
        moments.extend(self.queued().map(|(at, _)| at));
        moments.retain(|moment| *moment < now);
        moments.insert(now);
        let moments: Vec<_> = moments.into_iter().collect();
        for pair in moments.windows(2) {
            let [from, to] = *pair else { continue };
            let Some(began) = self.waits_since(from) else { continue };
            let due = self.last_heard(from).map_or(began, |heard| heard.max(began)) + INTERVAL;
            if to <= due {
                continue;
            }
            let latest = self.latest(due, began, to);
            if to > latest {
                return Err(format!(
                    "waits since {began}, hears nothing from {} to {to}, which nothing excuses after {latest}: {:?}",
                    due - INTERVAL,
                    self.customer
                ));
            }
        }
        Ok(())
    }

    /// What happened, a line each.
    fn story(&self) -> String {
        let mut lines: Vec<(Timestamp, String)> = self.told.lines();
        for said in &self.heard {
            let line = format!("== {} took {}; bounced {:?}", said.channel, said.message_id, said.bounced_at);
            lines.push((said.at, line));
        }
        lines.extend(self.downs.iter().map(|(down, up)| (*down, format!("-- down until {up}"))));
        for storm in &self.script.storms {
            if storm.channel.as_ref().is_some_and(|channel| self.customer.channels.contains_key(channel)) {
                lines.push((storm.from, format!("-- {storm:?} until {}", storm.to)));
            }
        }
        lines.sort_by_key(|(at, _)| *at);
        lines.iter().map(|(at, line)| format!("    {at} {line}\n")).collect()
    }

    /// Since when the customer waits at `at`; none where it is their turn.
    fn waits_since(&self, at: Timestamp) -> Option<Timestamp> {
        let until = self.told.statuses.iter().take_while(|(since, _)| *since <= at);
        until.fold(None, |waits, (since, status)| status.waits_for_us().then(|| waits.unwrap_or(*since)))
    }

    /// When the customer last heard something that by then was not known to have come back.
    fn last_heard(&self, at: Timestamp) -> Option<Timestamp> {
        let holds = |said: &&Accepted| said.at <= at && said.bounced_at.is_none_or(|bounced| bounced > at);
        self.heard.iter().filter(holds).map(|said| said.at).max()
    }

    fn queued(&self) -> impl Iterator<Item = (Timestamp, &Channel)> {
        self.told.events.iter().filter_map(|event| match event {
            Event::MessageQueued { at, message, .. } => Some((*at, &message.channel)),
            _ => None,
        })
    }

    /// A minute for each channel that could fail. Where text messages are the only way, whether one arrived may have to
    /// be waited for.
    fn patience(&self) -> Span {
        let uncertain = if self.has_only_texts() { UNCERTAIN_FOR } else { 0 };
        Span::from_mins(self.customer.channels.len() as u64 + uncertain)
    }

    fn has_only_texts(&self) -> bool {
        self.customer.channels.keys().all(|channel| *channel == Channel::Sms)
    }

    /// The channel of the last message of which nobody knew by `to` whether it had arrived, and when that channel had its
    /// next turn, if it had one by then.
    ///
    /// A text that is cut off by the end of the process is not sent again within its round, however well its channel
    /// works: the next channel gets the words. Its own turn comes with the next round, or when the machine repeats what
    /// has been uncertain for ten minutes.
    fn in_doubt(&self, to: Timestamp) -> Option<(&Channel, Option<Timestamp>)> {
        let mut doubt: Option<(&Channel, MessageId, Option<Timestamp>)> = None;
        for event in &self.told.events {
            match event {
                Event::DeliveryChanged { at, message_id, status: DeliveryStatus::Uncertain, .. }
                    if *at <= to =>
                {
                    doubt = self.channel_of(*message_id).map(|channel| (channel, *message_id, None));
                }
                Event::DeliveryChanged { message_id, status, .. } if status.is_accepted() => {
                    doubt = doubt.filter(|(_, id, _)| id != message_id);
                }
                Event::MessageQueued { at, message, .. } => {
                    let turn = doubt.as_mut().filter(|(channel, ..)| **channel == message.channel);
                    if let Some((_, _, turn @ None)) = turn {
                        *turn = Some(*at);
                    }
                }
                Event::ReachRetried { at, .. } => {
                    if let Some((_, _, turn @ None)) = &mut doubt {
                        *turn = Some(*at);
                    }
                }
                _ => {}
            }
        }
        doubt.map(|(channel, _, turn)| (channel, turn.filter(|turn| *turn <= to)))
    }

    fn channel_of(&self, id: MessageId) -> Option<&Channel> {
        self.told.events.iter().find_map(|event| match event {
            Event::MessageQueued { message, .. } if message.message_id == id => Some(&message.channel),
            _ => None,
        })
    }

    /// Until when nothing that was `due` need have been heard.
    ///
    /// From the moment at which something could be done (the margin; later a bounce, words that are tried first, or the
    /// process being back) each channel has its minute; the one that bounced is not asked, and the one that may have
    /// taken the words has had its turn. Where none of the others takes anything all that time, the engine has what its
    /// hourly retry needs from the moment at which one does again.
    fn latest(&self, due: Timestamp, began: Timestamp, heard: Timestamp) -> Timestamp {
        let bounced = self.heard.iter().filter(|said| said.bounced_at.is_some_and(|at| at < heard));
        let bounced = bounced.max_by_key(|said| said.bounced_at);
        let bounced_at = bounced.and_then(|said| said.bounced_at).unwrap_or_default();
        let words = self.queued().map(|(at, _)| at).filter(|at| *at <= due).max();
        let mut start = (due - MARGIN).max(began).max(bounced_at).max(words.unwrap_or_default());
        let mut bounced_by = bounced.map(|said| &said.channel).filter(|_| start == bounced_at);
        let mut needs = self.patience();
        let hourly = Span::from_millis(HOURLY.as_millis() + needs.as_millis());
        loop {
            // Who could not be reached in the last hour has the next try within an hour of that, and one more while there
            // is still time.
            let lately = bounced.filter(|_| bounced_at + HOURLY >= start).map(|said| &said.channel);
            let lately: Vec<_> = lately.into_iter().collect();
            let hourly_round = !self.script.reaches(self.customer, &lately, start - HOURLY, start + needs);
            let tried_by = if hourly_round { due.max(start + needs) } else { start + needs };
            let round = if hourly_round && !lately.is_empty() { bounced_at + hourly } else { start };
            let down = |(down, up): &&(Timestamp, Timestamp)| *down <= tried_by && start < *up;
            if let Some((_, up)) = self.downs.iter().find(down) {
                start = *up;
                // A person's text that was cut off may have arrived: it is held, and the next round is the machine's.
                needs = if self.has_only_texts() { hourly } else { needs };
                continue;
            }
            // Where texts are the only way, the patience has room for that.
            let doubt = self.in_doubt(start + needs).filter(|_| needs < hourly && !self.has_only_texts());
            let doubtful = match doubt {
                Some((_, Some(turn))) if turn > start => {
                    start = turn;
                    continue;
                }
                Some((channel, None)) => Some(channel),
                Some(_) | None => None,
            };
            let without: Vec<_> = bounced_by.into_iter().chain(doubtful).collect();
            if self.script.reaches(self.customer, &without, start - BACKOFF, start + needs) {
                return due.max(start + needs).max(round);
            }
            if needs < hourly {
                (needs, bounced_by) = (hourly, None);
                continue;
            }
            match self.script.storms.iter().map(|storm| storm.to).filter(|to| *to > start).min() {
                Some(next) => start = next,
                // Nothing takes anything any more.
                None => return heard,
            }
        }
    }
}
