//! What providers report: durable, once, in whatever order, and never in anybody's way.

use std::sync::{Arc, Mutex};

use throughline_actors::{
    engine::{Accepted, Engine},
    performer::{Attempt, NoPerformer, Outcome, Performer},
    testing::World,
};
use throughline_workflows::{
    activity::ConversationActivity,
    conversation::{Command, Conversation, Delivery, DeliveryReport, DeliveryStatus},
    customer::Customer,
    ids::{ConversationId, MessageId},
    message::{Address, Channel, Inbound},
    time::Span,
    workflow::ActivityError,
};
use uuid::Uuid;

use crate::parcel;

/// A provider that takes everything once it is told to, and calls it SM1.
#[derive(Clone, Default)]
struct Provider {
    sent: Arc<Mutex<Vec<(ConversationId, MessageId)>>>,
    busy: Arc<Mutex<bool>>,
}

impl Performer<Conversation> for Provider {
    async fn perform(&self, activity: ConversationActivity, attempt: Attempt) -> Outcome<Command> {
        let ConversationActivity::Send(message) = activity else { panic!("only messages are sent here") };
        if *self.busy.lock().unwrap() {
            let error = ActivityError { code: None, message: "busy".to_owned() };
            return Outcome::Retry { after: Some(Span::from_mins(2)), error };
        }
        self.sent.lock().unwrap().push((message.conversation_id, message.message_id));
        let delivery = Delivery::Accepted { at: attempt.now, provider_message_id: Some("SM1".to_owned()) };
        Outcome::Done(Some(Command::RecordDelivery { message_id: message.message_id, delivery }))
    }
}

async fn start(world: &World, provider: &Provider) -> Engine {
    let provider = provider.clone();
    world.start(|builder| builder.workflow::<Conversation>(provider).workflow::<Customer>(NoPerformer)).await
}

/// A text message comes in and is acknowledged.
async fn text(engine: &Engine) {
    let inbound = Inbound {
        channel: Channel::Sms,
        from: vec![Address::phone("+15550123456")],
        ..parcel::message(engine)
    };
    engine.receive(&World::tenant(), inbound, Vec::new(), engine.mint()).await.unwrap();
    engine.settle().await.unwrap();
}

fn report(engine: &Engine, id: &str, status: DeliveryStatus) -> DeliveryReport {
    DeliveryReport {
        channel: Channel::Sms,
        provider_message_id: id.to_owned(),
        conversation: None,
        message_id: None,
        status,
        error: None,
        at: engine.now(),
    }
}

async fn tell(engine: &Engine, report: &DeliveryReport) -> Accepted {
    let accepted = engine.report(&World::tenant(), report, Uuid::from_u128(7)).await.unwrap();
    engine.settle().await.unwrap();
    accepted
}

async fn standing(engine: &Engine, provider: &Provider) -> DeliveryStatus {
    let (conversation, message) = provider.sent.lock().unwrap()[0];
    let state = engine.state::<Conversation>(&World::tenant(), conversation.0).await.unwrap().unwrap().0;
    state.facts().unwrap().send_status(message).unwrap()
}

#[tokio::test]
async fn reports_in_any_order_leave_the_highest_rung_and_a_duplicate_is_known() {
    let (world, provider) = (World::new(), Provider::default());
    let engine = start(&world, &provider).await;
    text(&engine).await;
    assert_eq!(standing(&engine, &provider).await, DeliveryStatus::Sent);
    let delivered = report(&engine, "SM1", DeliveryStatus::Delivered);
    assert_eq!(tell(&engine, &delivered).await, Accepted::New);
    assert_eq!(standing(&engine, &provider).await, DeliveryStatus::Delivered);
    assert_eq!(tell(&engine, &report(&engine, "SM1", DeliveryStatus::Sent)).await, Accepted::New);
    assert_eq!(tell(&engine, &delivered).await, Accepted::Duplicate);
    assert_eq!(standing(&engine, &provider).await, DeliveryStatus::Delivered);
    assert!(engine.activities(10).unwrap().is_empty());
}

#[tokio::test]
async fn a_report_that_comes_before_the_answer_waits_for_it_through_a_power_cut() {
    let (world, provider) = (World::new(), Provider::default());
    *provider.busy.lock().unwrap() = true;
    let engine = start(&world, &provider).await;
    text(&engine).await;
    tell(&engine, &report(&engine, "SM1", DeliveryStatus::Delivered)).await;
    *provider.busy.lock().unwrap() = false;
    let world = world.after_power_cut();
    let engine = start(&world, &provider).await;
    engine.advance(Span::from_mins(9)).await.unwrap();
    assert_eq!(standing(&engine, &provider).await, DeliveryStatus::Delivered);
    assert_eq!(engine.reports_dropped(), 0);
}

#[tokio::test]
async fn a_report_of_nothing_of_ours_is_dropped_and_counted_after_ten_minutes() {
    let (world, provider) = (World::new(), Provider::default());
    let engine = start(&world, &provider).await;
    tell(&engine, &report(&engine, "SM404", DeliveryStatus::Delivered)).await;
    engine.advance(Span::from_mins(9)).await.unwrap();
    assert_eq!((engine.reports_dropped(), engine.activities(10).unwrap().len()), (0, 1));
    engine.advance(Span::from_mins(2)).await.unwrap();
    assert_eq!((engine.reports_dropped(), engine.activities(10).unwrap().len()), (1, 0));
}

#[tokio::test]
async fn a_report_that_names_our_message_needs_no_answer_of_the_provider() {
    let (world, provider) = (World::new(), Provider::default());
    let engine = start(&world, &provider).await;
    text(&engine).await;
    let (conversation, message) = provider.sent.lock().unwrap()[0];
    let named = DeliveryReport {
        conversation: Some(conversation),
        message_id: Some(message),
        ..report(&engine, "SM-unheard-of", DeliveryStatus::Delivered)
    };
    tell(&engine, &named).await;
    assert_eq!(standing(&engine, &provider).await, DeliveryStatus::Delivered);
}
