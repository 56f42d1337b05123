//! Who the customers are and what goes wrong, and how often: all of it from one seed.
//!
//! Not every seed has every fault: most defects show where some faults are frequent and the others absent, so each seed
//! draws its own odds.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng, rngs::StdRng};
use throughline_workflows::{
    calendar::{self, Calendar, CalendarSpec},
    ids::TenantId,
    message::{Address, Channel},
    policy::{Policy, Tier},
    time::{Span, Timestamp},
    topic::Topic,
    words::{IssueType, Severity, SlaTier},
};

use crate::life::{elsewhere, home};

/// What happens, as far as it does not depend on what the engine does.
pub(crate) struct Script {
    pub(crate) start: Timestamp,
    /// When faults stop and nobody acts any more.
    pub(crate) calm: Timestamp,
    pub(crate) customers: Vec<Customer>,
    pub(crate) storms: Vec<Storm>,
    pub(crate) odds: Odds,
    /// One or two.
    pub(crate) tenants: Vec<TenantId>,
    /// The settings of each of them as the configuration says them.
    pub(crate) policies: BTreeMap<TenantId, Policy>,
    /// What the endpoint is told of: everything where none is named. None where there is no endpoint.
    pub(crate) topics: Option<Vec<Topic>>,
    /// Turns between two snapshots of an entity.
    pub(crate) snapshot_every: u64,
    /// How many acts of persons.
    pub(crate) acts: usize,
    /// When operators act.
    pub(crate) operations: Vec<Timestamp>,
}

/// When the clocks of a tenant run, in Vienna, where it is winter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hours {
    /// Day and night.
    Whole,
    /// Monday to Friday, from nine to five.
    Office,
    /// Monday to Friday, from noon to eight.
    Late,
}

impl Hours {
    /// Those of the calendar of this name.
    pub(crate) fn named(name: Option<&str>) -> Self {
        match name {
            Some("office") => Self::Office,
            Some("late") => Self::Late,
            _ => Self::Whole,
        }
    }
}

/// One customer.
#[derive(Clone, Debug)]
pub(crate) struct Customer {
    /// Whose customer.
    pub(crate) tenant: TenantId,
    /// Stands in their addresses and ids. Customers of two tenants may have the same.
    pub(crate) number: usize,
    /// By which channels they can be reached, and where.
    pub(crate) channels: BTreeMap<Channel, Address>,
    /// By which one they write.
    pub(crate) writes_by: Channel,
    /// When, and how often.
    pub(crate) writes_at: Vec<Timestamp>,
    /// When they do not want to be written to.
    pub(crate) quiet: Option<&'static str>,
    /// Every so many of their mails bounces later; 0 for none.
    pub(crate) bounces_every: u64,
}

/// For a time, a provider does not do what it should.
#[derive(Clone, Debug)]
pub(crate) struct Storm {
    /// Whose provider; none for the one that takes what endpoints are told.
    pub(crate) channel: Option<Channel>,
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    /// Of a hundred tries: how many fail, hang, and lose their answer although they were taken.
    pub(crate) fails: u32,
    pub(crate) hangs: u32,
    pub(crate) loses: u32,
}

/// In which order tasks that are ready go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    First,
    Any,
    Last,
}

/// How often things happen, per thousand steps where nothing else is said.
#[derive(Clone, Debug)]
pub(crate) struct Odds {
    pub(crate) order: Order,
    /// Appends that a group takes at most.
    pub(crate) group: usize,
    /// How much rather a group is begun or made durable than that something else goes on.
    pub(crate) disk: u32,
    pub(crate) death: u32,
    pub(crate) broken_disk: u32,
    pub(crate) crash: u32,
    pub(crate) passivation: u32,
    /// How often the clock is put forward.
    pub(crate) leap: u32,
    /// Of a hundred webhooks: how many come again although they were taken.
    pub(crate) again: u32,
    /// By how many seconds a webhook may be late.
    pub(crate) late_secs: u64,
    /// Of a hundred deaths: how many are followed by hours without a process.
    pub(crate) long_down: u32,
    /// Of a hundred tries: how many may not begin yet.
    pub(crate) not_now: u32,
    /// How often operators act, for each customer.
    pub(crate) operations: u32,
    /// Of a hundred messages: how many bring a file.
    pub(crate) files: u32,
}

impl Script {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let start: Timestamp = "2026-11-02T09:00:00Z".parse().unwrap();
        let hours = rng.random_range(6..40);
        let calm = start + Span::from_hours(hours);
        let people = rng.random_range(1..5);
        let tenants = if rng.random_bool(0.6) { vec![home(), elsewhere()] } else { vec![home()] };
        let customers: Vec<_> = (0..people)
            .map(|index| {
                // The first is at home, and who is elsewhere has the number of somebody at home.
                let tenant = &tenants[index % tenants.len()];
                customer(tenant, index / tenants.len(), start, hours, &mut rng)
            })
            .collect();
        let mut storms = Vec::new();
        for channel in [Some(Channel::Email), Some(Channel::Sms), Some(web()), None] {
            for _ in 0..rng.random_range(0..3) {
                let from = start + Span::from_mins(rng.random_range(0..hours * 60));
                let to = (from + Span::from_mins(rng.random_range(2..400))).min(calm);
                let part = |rng: &mut StdRng| rng.random_range(0..3) * 25;
                let (fails, hangs, loses) = (part(&mut rng), part(&mut rng), part(&mut rng));
                storms.push(Storm { channel: channel.clone(), from, to, fails, hangs, loses });
            }
        }
        let odds = Odds::draw(&mut rng);
        let policies = tenants.iter().map(|tenant| (tenant.clone(), policy(rng.random_bool(0.5)))).collect();
        let snapshot_every = if rng.random_bool(0.5) { rng.random_range(1..12) } else { 64 };
        let acts = rng.random_range(0..8) * people;
        let operations =
            (0..odds.operations * people as u32).map(|_| operates_at(&customers, start, calm, &mut rng));
        let operations = operations.collect();
        let topics = match rng.random_range(0..4) {
            0 => Some(Vec::new()),
            1 | 2 => {
                let mut some = || Topic::ALL[rng.random_range(0..Topic::ALL.len())];
                Some(vec![some(), some()])
            }
            _ => None,
        };
        Self {
            start,
            calm,
            customers,
            storms,
            odds,
            tenants,
            policies,
            topics,
            snapshot_every,
            acts,
            operations,
        }
    }

    /// The storm that rages at `at` over a provider, if one does.
    pub(crate) fn storm(&self, channel: Option<&Channel>, at: Timestamp) -> Option<&Storm> {
        self.storms
            .iter()
            .find(|storm| storm.channel.as_ref() == channel && storm.from <= at && at < storm.to)
    }

    /// The customer of a tenant who has an address.
    pub(crate) fn customer(&self, tenant: &TenantId, address: &str) -> Option<&Customer> {
        let has = |customer: &&Customer| {
            customer.tenant == *tenant && customer.channels.values().any(|known| known.to_string() == address)
        };
        self.customers.iter().find(has)
    }

    /// Whether one of the customer's channels but `without` takes everything from `from` to `to`.
    pub(crate) fn reaches(
        &self,
        customer: &Customer,
        without: &[&Channel],
        from: Timestamp,
        to: Timestamp,
    ) -> bool {
        customer.channels.keys().filter(|channel| !without.contains(channel)).any(|channel| {
            !self
                .storms
                .iter()
                .any(|storm| storm.channel.as_ref() == Some(channel) && storm.from <= to && from < storm.to)
        })
    }
}

impl Odds {
    fn draw(rng: &mut StdRng) -> Self {
        let mut some = |most: u32| if rng.random_bool(0.5) { rng.random_range(1..=most) } else { 0 };
        let (death, broken_disk, crash, passivation) = (some(4), some(2), some(6), some(20));
        let (again, long_down, not_now) = (some(60), some(50), some(15));
        let (operations, files) = (some(8), some(15));
        let leap = some(2);
        Self {
            order: [Order::First, Order::Any, Order::Any, Order::Last][rng.random_range(0..4)],
            group: [1, 2, 8, 512][rng.random_range(0..4)],
            disk: [3, 20, 200][rng.random_range(0..3)],
            death,
            broken_disk,
            crash,
            passivation,
            leap,
            again,
            late_secs: [0, 5, 600][rng.random_range(0..3)],
            long_down,
            not_now,
            operations,
            files,
        }
    }
}

/// A tenant's settings; its clocks run by office hours, or day and night.
fn policy(office: bool) -> Policy {
    let windows = BTreeMap::from([(Severity::P1, Span::from_hours(7))]);
    let calendar = |weekday: &str, weekend: Option<&str>| {
        let day = || vec![weekday.to_owned()];
        let free = || weekend.iter().map(|range| (*range).to_owned()).collect::<Vec<_>>();
        let hours = calendar::Hours {
            mon: day(),
            tue: day(),
            wed: day(),
            thu: day(),
            fri: day(),
            sat: free(),
            sun: free(),
        };
        let spec = CalendarSpec { timezone: "Europe/Vienna".to_owned(), hours, holidays: Vec::new() };
        Calendar::new(&spec).unwrap()
    };
    let calendars = [
        ("office", calendar("09:00-17:00", None)),
        ("late", calendar("12:00-20:00", None)),
        ("whole", calendar("00:00-24:00", Some("00:00-24:00"))),
    ];
    let tier = Tier { calendar: office.then(|| "office".to_owned()), ..Tier::default() };
    Policy {
        windows: BTreeMap::from([(IssueType::Technical, windows)]),
        calendars: calendars.map(|(name, calendar)| (name.to_owned(), calendar)).into(),
        tiers: BTreeMap::from([(SlaTier::Standard, tier)]),
        ..Policy::default()
    }
}

/// When an operator acts: at any time, or while a message comes in.
fn operates_at(customers: &[Customer], start: Timestamp, calm: Timestamp, rng: &mut StdRng) -> Timestamp {
    if rng.random_bool(0.5) {
        return start + Span::from_secs(rng.random_range(0..calm.since(start).as_millis() / 1_000));
    }
    let writes_at = &customers[rng.random_range(0..customers.len())].writes_at;
    let at = writes_at[rng.random_range(0..writes_at.len())];
    (at + Span::from_millis([0, 0, 300, 60_000][rng.random_range(0..4)])).min(calm)
}

/// The channel of a page of the tenant's own.
pub(crate) fn web() -> Channel {
    Channel::Generic("web".to_owned())
}

fn customer(tenant: &TenantId, number: usize, start: Timestamp, hours: u64, rng: &mut StdRng) -> Customer {
    let email = Address::email(&format!("c{number}@example.com"));
    let phone = Address::phone(format!("+1555100{number:04}"));
    let (channels, writes_by) = match rng.random_range(0..5) {
        0 => (BTreeMap::from([(Channel::Email, email)]), Channel::Email),
        1 => (BTreeMap::from([(Channel::Sms, phone)]), Channel::Sms),
        2 => (BTreeMap::from([(Channel::Email, email), (Channel::Sms, phone)]), Channel::Email),
        3 => (BTreeMap::from([(Channel::Email, email), (Channel::Sms, phone)]), Channel::Sms),
        _ => (BTreeMap::from([(Channel::Email, email.clone()), (web(), email)]), web()),
    };
    let mut writes_at: Vec<_> = (0..rng.random_range(1..4))
        .map(|_| start + Span::from_secs(rng.random_range(0..hours * 3_600 * 9 / 10)))
        .collect();
    // Somebody writes at once, or there would be nothing to do.
    writes_at[0] = start + Span::from_secs(rng.random_range(1..3_600));
    writes_at.sort();
    let quiet = match rng.random_range(0..6) {
        0 => Some("22:00-07:00"),
        1 => Some("18:00-12:00"),
        _ => None,
    };
    let bounces_every = if rng.random_bool(0.2) { rng.random_range(2..5) } else { 0 };
    let tenant = tenant.clone();
    Customer { tenant, number, channels, writes_by, writes_at, quiet, bounces_every }
}
