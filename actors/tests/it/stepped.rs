//! What an order of things decides that no waiting can bring about: an engine on one thread, task by task and commit by
//! commit.

use std::sync::{Arc, Mutex};

use throughline_actors::{
    engine::{Engine, EngineBuilder},
    host::EngineOptions,
    performer::NoPerformer,
    stepper::Stepper,
    testing::{World, meta},
};
use throughline_storage::{
    blobs::Blobs,
    journal::{Journal, JournalOptions, SteppedCommitter},
};
use throughline_workflows::{operation::Operation, policy::Policy, workflow::Workflow as _};
use uuid::Uuid;

use crate::parcel::{Announcer, Command, Parcel};

/// The tasks that perform activities.
const PERFORMING: [&str; 2] = ["activities", "activities: a try"];

/// An engine that stands still until it is told to go on.
struct Stepped {
    world: World,
    stepper: Stepper,
    committer: SteppedCommitter,
    engine: Engine,
    _blobs: tempfile::TempDir,
}

impl Stepped {
    fn begin(announcer: &Announcer) -> Self {
        let (world, stepper) = (World::new(), Stepper::new());
        world.store.faults().sync_by_hand();
        let (journal, committer) =
            Journal::open_stepped(Arc::new(world.store.clone()), JournalOptions::default()).unwrap();
        let blobs = tempfile::tempdir().unwrap();
        let folder = Arc::new(Blobs::open(blobs.path()).unwrap());
        let builder = EngineBuilder::new(journal, folder, world.clock.clone())
            .options(EngineOptions { stepper: Some(stepper.clone()), ..EngineOptions::default() })
            .policies([(World::tenant(), Policy::default())])
            .workflow::<Parcel>(announcer.clone())
            .workflow::<Operation>(NoPerformer);
        let started = Arc::new(Mutex::new(None));
        let place = started.clone();
        stepper.spawn("start", async move {
            *place.lock().unwrap() = builder.start().await.ok();
        });
        poll(&stepper, |_| true);
        let engine = started.lock().unwrap().take().unwrap();
        Self { world, stepper, committer, engine, _blobs: blobs }
    }

    /// Lets the tasks of these names go on until they wait for something.
    fn poll(&self, wanted: impl Fn(&str) -> bool) {
        poll(&self.stepper, wanted);
    }

    /// Begins to write all that waits to be written: it can be seen and is not durable.
    fn write(&mut self) {
        self.committer.begin(usize::MAX);
    }

    /// What was begun to be written is durable, and whoever waited for that can go on.
    fn sync(&mut self) {
        self.world.store.faults().sync();
        self.committer.end();
    }

    /// Lets everything go on but what performs activities.
    fn go_on_without_performing(&mut self) {
        loop {
            self.poll(|name| !PERFORMING.contains(&name));
            if self.committer.waiting() == 0 {
                return;
            }
            self.write();
            self.sync();
        }
    }

    /// Lets everything go on until it has come to rest.
    fn go_on(&mut self) {
        loop {
            self.poll(|_| true);
            if self.committer.waiting() == 0 {
                return;
            }
            self.write();
            self.sync();
        }
    }

    fn announce(&mut self, id: Uuid, what: &str) {
        let (engine, command) =
            (self.engine.clone(), Command::Announce { what: what.to_owned(), lane: true });
        self.stepper.spawn("a request", async move {
            engine.send::<Parcel>(&World::tenant(), id, command, meta(&engine)).await.unwrap();
        });
        self.go_on_without_performing();
    }

    /// Asks for a pause; what says whether it has been answered.
    fn pause(&self, id: Uuid) -> Arc<Mutex<bool>> {
        let (engine, answered) = (self.engine.clone(), Arc::new(Mutex::new(false)));
        let place = answered.clone();
        self.stepper.spawn("a request", async move {
            let why = "to look at it".to_owned();
            engine.pause(&World::tenant(), Parcel::KIND, id, why, meta(&engine)).await.unwrap();
            *place.lock().unwrap() = true;
        });
        self.poll(|name| !PERFORMING.contains(&name));
        answered
    }

    fn resume(&mut self, id: Uuid) {
        let engine = self.engine.clone();
        self.stepper.spawn("a request", async move {
            let why = "looked at".to_owned();
            engine.resume(&World::tenant(), Parcel::KIND, id, why, meta(&engine)).await.unwrap();
        });
        self.go_on();
    }
}

fn poll(stepper: &Stepper, wanted: impl Fn(&str) -> bool) {
    while let Some(task) = stepper.ready().into_iter().find(|task| wanted(task.name)) {
        stepper.poll(task.number);
    }
}

#[test]
fn a_try_that_has_not_asked_anybody_when_its_entity_is_paused_waits_until_it_is_resumed() {
    let announcer = Announcer::default();
    let mut stepped = Stepped::begin(&announcer);
    let id = stepped.engine.mint();
    stepped.announce(id, "hello");
    let answered = stepped.pause(id);
    // The try begins and waits for what is being written, which is the pause.
    stepped.write();
    stepped.poll(|name| PERFORMING.contains(&name));
    stepped.sync();
    stepped.go_on_without_performing();
    assert!(*answered.lock().unwrap());
    stepped.go_on();
    assert!(announcer.heard().is_empty(), "{:?}", announcer.heard());
    stepped.resume(id);
    assert_eq!(announcer.heard().len(), 1);
}

#[test]
fn a_try_whose_beginning_is_recorded_as_its_entity_is_paused_has_not_begun() {
    let announcer = Announcer::default();
    let mut stepped = Stepped::begin(&announcer);
    let id = stepped.engine.mint();
    // What must not be done twice is marked before it is begun.
    stepped.announce(id, "once");
    stepped.poll(|name| PERFORMING.contains(&name));
    let answered = stepped.pause(id);
    stepped.write();
    stepped.sync();
    stepped.go_on_without_performing();
    assert!(*answered.lock().unwrap());
    stepped.go_on();
    assert!(announcer.heard().is_empty(), "{:?}", announcer.heard());
    let pending = stepped.engine.activities(10).unwrap();
    assert!(pending[0].begun_at.is_none(), "{pending:?}");
    stepped.resume(id);
    assert_eq!(announcer.heard().len(), 1);
}
