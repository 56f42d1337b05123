//! Who the customers are and what goes wrong: all of it from one seed.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng, rngs::StdRng};
use throughline_workflows::{
    message::{Address, Channel},
    time::{Span, Timestamp},
};

/// How many customers write.
const CUSTOMERS: usize = 200;

/// How long it goes on.
pub(super) const LENGTH: Span = Span::from_hours(72);

/// What happens, as far as it does not depend on what the engine does.
pub(super) struct Script {
    pub(super) start: Timestamp,
    pub(super) customers: Vec<Customer>,
    pub(super) outages: Vec<Outage>,
    /// When the process is stopped without a warning, and for how long.
    pub(super) stops: Vec<(Timestamp, Span)>,
    /// The acceptances, by their number, in whose midst the process dies.
    pub(super) deaths: Vec<usize>,
}

/// A channel takes nothing.
#[derive(Clone, Debug)]
pub(super) struct Outage {
    pub(super) channel: Channel,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

/// What writes: a person, a machine, or a person who cannot be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Person,
    Machine,
    NoReply,
}

/// One customer.
#[derive(Clone, Debug)]
pub(super) struct Customer {
    pub(super) kind: Kind,
    /// By which channels they can be reached, and where.
    pub(super) channels: BTreeMap<Channel, Address>,
    /// By which one they write first.
    pub(super) writes_by: Channel,
    pub(super) writes_at: Timestamp,
    /// When a person escalates; none for the other half.
    pub(super) escalated_at: Option<Timestamp>,
    /// From when on a channel refuses them for good.
    pub(super) refused: BTreeMap<Channel, Timestamp>,
    /// When they do not want to be written to, as text and as a span.
    pub(super) quiet: Option<(&'static str, Span)>,
    /// The zone they live in, and how far it is ahead of UTC.
    pub(super) zone: Option<(&'static str, Span)>,
    pub(super) preferred: Option<Channel>,
    /// Every so many of their mails bounces later; 0 for none.
    pub(super) bounces_every: u64,
}

impl Script {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let start: Timestamp = "2026-11-02T09:00:00Z".parse().unwrap();
        let customers = (0..CUSTOMERS).map(|index| customer(index, start, &mut rng)).collect();
        let mut outages = Vec::new();
        for channel in [Channel::Email, Channel::Sms, web()] {
            for _ in 0..2 {
                let from = start + Span::from_mins(30 * rng.random_range(4..120));
                let to = from + Span::from_mins(10 * rng.random_range(3..40));
                outages.push(Outage { channel: channel.clone(), from, to });
            }
        }
        // One that is longer than the promise, one of hours, one of minutes.
        let long = if seed.is_multiple_of(2) { 26 } else { 13 };
        let mut stops = vec![
            (start + Span::from_mins(10 * rng.random_range(60..180)), Span::from_hours(long)),
            (start + Span::from_mins(10 * rng.random_range(6..50)), Span::from_hours(rng.random_range(1..6))),
            (start + Span::from_mins(10 * rng.random_range(360..420)), Span::from_mins(7)),
        ];
        stops.sort();
        let deaths = (0..6).map(|_| rng.random_range(20..1400)).collect();
        Self { start, customers, outages, stops, deaths }
    }

    /// Whether `channel` takes what is sent to `customer` at `at`.
    pub(super) fn takes(&self, customer: &Customer, channel: &Channel, at: Timestamp) -> bool {
        self.is_up(channel, at) && !customer.refuses(channel, at)
    }

    /// Whether the provider of `channel` works at `at`.
    pub(super) fn is_up(&self, channel: &Channel, at: Timestamp) -> bool {
        !self.outages.iter().any(|outage| outage.channel == *channel && outage.from <= at && at < outage.to)
    }

    /// Whether some channel but `without` takes what is sent to `customer` all the time from `from` to `to`.
    pub(super) fn reaches(
        &self,
        customer: &Customer,
        without: Option<&Channel>,
        from: Timestamp,
        to: Timestamp,
    ) -> bool {
        customer.channels.keys().filter(|channel| Some(*channel) != without).any(|channel| {
            let fails = |outage: &Outage| outage.channel == *channel && outage.from <= to && from < outage.to;
            !customer.refuses(channel, to) && !self.outages.iter().any(fails)
        })
    }

    pub(super) fn end(&self) -> Timestamp {
        self.start + LENGTH
    }
}

impl Customer {
    fn refuses(&self, channel: &Channel, at: Timestamp) -> bool {
        self.refused.get(channel).is_some_and(|from| *from <= at)
    }

    /// How long their quiet hours are.
    pub(super) fn quiet_span(&self) -> Span {
        self.quiet.map_or(Span::ZERO, |(_, span)| span)
    }
}

/// The channel of a page of the tenant's own.
pub(super) fn web() -> Channel {
    Channel::Generic("web".to_owned())
}

fn customer(index: usize, start: Timestamp, rng: &mut StdRng) -> Customer {
    let kind = match index % 20 {
        9 => Kind::Machine,
        19 => Kind::NoReply,
        _ => Kind::Person,
    };
    let name = if kind == Kind::NoReply { format!("no-reply{index}") } else { format!("c{index}") };
    let email = Address::email(&format!("{name}@example.com"));
    let mut channels = BTreeMap::from([(Channel::Email, email.clone())]);
    let mut writes_by = Channel::Email;
    match index % 10 {
        3..=6 => {
            channels.insert(Channel::Sms, Address::phone(format!("+1555100{index:04}")));
            if rng.random_bool(0.3) {
                writes_by = Channel::Sms;
            }
        }
        7 | 8 => {
            channels.insert(web(), email);
            writes_by = web();
        }
        _ => {}
    }
    let writes_at = start + Span::from_mins(10 * rng.random_range(0..36));
    let escalates = index.is_multiple_of(2) && kind == Kind::Person;
    let refused_at = start + Span::from_hours(rng.random_range(0..40));
    let refuses = rng.random_bool(0.1) && kind == Kind::Person;
    let several = channels.len() > 1;
    let mut customer = Customer {
        kind,
        refused: refuses.then_some((Channel::Email, refused_at)).into_iter().collect(),
        preferred: (several && rng.random_bool(0.3)).then(|| channels.keys().last().cloned()).flatten(),
        channels,
        writes_by,
        writes_at,
        escalated_at: escalates.then(|| writes_at + Span::from_mins(10 * rng.random_range(0..60))),
        quiet: match rng.random_range(0..8) {
            0 => Some(("22:00-07:00", Span::from_hours(9))),
            1 => Some(("13:00-14:00", Span::from_hours(1))),
            2 => Some(("18:00-12:00", Span::from_hours(18))),
            _ => None,
        },
        zone: match rng.random_range(0..4) {
            0 => Some(("Europe/Vienna", Span::from_hours(1))),
            1 => Some(("Asia/Kolkata", Span::from_mins(330))),
            _ => None,
        },
        bounces_every: if rng.random_bool(0.3) { rng.random_range(2..6) } else { 0 },
    };
    if kind != Kind::Person {
        // Nothing is known of them but that they write.
        (customer.quiet, customer.zone, customer.preferred) = (None, None, None);
    }
    customer
}
