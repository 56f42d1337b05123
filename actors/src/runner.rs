//! Where the engine's work runs: on the runtime's threads, or, in a simulation, step by step on one.
//!
//! Everything that the engine does beside the caller's own task is begun here, so that a simulation can put a
//! `Stepper` in place of the runtime and decide what goes on when. Entity actors are ractor's and not begun here.

use std::{future::Future, io, num::NonZeroUsize, sync::Arc, thread, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use tokio::task::JoinSet;

use crate::clock::Stopwatch;
#[cfg(feature = "testing")]
use crate::stepper::Stepper;

/// Begins work.
#[derive(Clone)]
pub(crate) struct Runner {
    /// Runs since the engine was begun.
    watch: Stopwatch,
    readers: Arc<Readers>,
    #[cfg(feature = "testing")]
    pub(crate) stepper: Option<Stepper>,
}

/// Threads that read entities back, and do nothing else: a few that go on from one to the next. A thread for each,
/// of which hundreds would be woken and put to sleep again, costs as much as the reading.
struct Readers(Option<tokio::runtime::Runtime>);

/// More than one for each core, since some wait for the disk.
const READERS_PER_CORE: usize = 2;

impl Readers {
    fn new() -> io::Result<Self> {
        let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get) * READERS_PER_CORE;
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.max_blocking_threads(threads).thread_name("reader").build().map(|pool| Self(Some(pool)))
    }

    async fn read<T: Send + 'static>(&self, read: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
        let pool = self.0.as_ref().ok_or("the engine has ended")?;
        pool.spawn_blocking(read).await.map_err(|error| error.to_string())
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        // Otherwise it would wait for its threads, which a task must not.
        if let Some(pool) = self.0.take() {
            pool.shutdown_background();
        }
    }
}

/// It took too long.
#[derive(Debug)]
pub(crate) struct Elapsed;

/// Work that was begun: its outcome, or why there is none. It goes on when this is dropped.
pub(crate) type Begun<T> = BoxFuture<'static, Result<T, String>>;

impl Runner {
    /// Work runs on the runtime that calls.
    pub(crate) fn new() -> io::Result<Self> {
        let readers = Arc::new(Readers::new()?);
        Ok(Self {
            watch: Stopwatch::start(),
            readers,
            #[cfg(feature = "testing")]
            stepper: None,
        })
    }

    /// Work is done step by step, where there is a stepper.
    #[cfg(feature = "testing")]
    pub(crate) fn stepped(self, stepper: Option<Stepper>) -> Self {
        Self { stepper, ..self }
    }

    /// Begins a task.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Begun<T> {
        #[cfg(feature = "testing")]
        if let Some(stepper) = &self.stepper {
            let (done, outcome) = tokio::sync::oneshot::channel();
            stepper.spawn(name, async move {
                let _ = done.send(work.await); // Nobody may wait for it.
            });
            return async move { outcome.await.map_err(|error| error.to_string()) }.boxed();
        }
        let _ = name;
        let handle = tokio::spawn(work);
        async move { handle.await.map_err(|error| error.to_string()) }.boxed()
    }

    /// Reads one entity back, for a turn that waits for it. It blocks for as long as the disk does, and waits for no
    /// other kind of reading.
    pub(crate) async fn rehydrate<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        #[cfg(feature = "testing")]
        if self.stepper.is_some() {
            return Ok(read());
        }
        self.readers.read(read).await
    }

    /// Reads the store, which blocks for as long as the disk does, where that keeps nobody from their work.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        #[cfg(feature = "testing")]
        if self.stepper.is_some() {
            return Ok(read());
        }
        tokio::task::spawn_blocking(read).await.map_err(|error| error.to_string())
    }

    /// The machine's time, since some moment.
    pub(crate) fn now(&self) -> Duration {
        #[cfg(feature = "testing")]
        if let Some(stepper) = &self.stepper {
            return stepper.now();
        }
        self.watch.elapsed()
    }

    /// Waits, in the machine's time.
    pub(crate) async fn sleep(&self, pause: Duration) {
        #[cfg(feature = "testing")]
        if let Some(stepper) = &self.stepper {
            return stepper.sleep(pause).await;
        }
        tokio::time::sleep(pause).await;
    }

    /// Waits for something, but no longer than `patience`, in the machine's time.
    pub(crate) async fn timeout<T>(
        &self,
        patience: Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, Elapsed> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.sleep(patience) => Err(Elapsed),
        }
    }

    /// No tasks yet.
    pub(crate) fn tasks<T: Send + 'static>(&self, name: &'static str) -> Tasks<T> {
        #[cfg(feature = "testing")]
        if let Some(stepper) = &self.stepper {
            return Tasks::Stepped(stepped::Tasks::new(stepper.clone(), name));
        }
        let _ = name;
        Tasks::Runtime(JoinSet::new())
    }
}

/// Tasks whose outcomes someone waits for.
pub(crate) enum Tasks<T> {
    Runtime(JoinSet<T>),
    #[cfg(feature = "testing")]
    Stepped(stepped::Tasks<T>),
}

impl<T: Send + 'static> Tasks<T> {
    pub(crate) fn spawn(&mut self, work: impl Future<Output = T> + Send + 'static) {
        match self {
            Self::Runtime(tasks) => drop(tasks.spawn(work)),
            #[cfg(feature = "testing")]
            Self::Stepped(tasks) => tasks.spawn(work),
        }
    }

    /// How many have not been joined.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Runtime(tasks) => tasks.len(),
            #[cfg(feature = "testing")]
            Self::Stepped(tasks) => tasks.len(),
        }
    }

    /// The next outcome; none where there are no tasks. Nothing is lost when this is dropped.
    pub(crate) async fn join_next(&mut self) -> Option<Result<T, String>> {
        match self {
            Self::Runtime(tasks) => Some(tasks.join_next().await?.map_err(|error| error.to_string())),
            #[cfg(feature = "testing")]
            Self::Stepped(tasks) => tasks.join_next().await.map(Ok),
        }
    }

    /// An outcome that is there already.
    pub(crate) fn try_join_next(&mut self) -> Option<Result<T, String>> {
        match self {
            Self::Runtime(tasks) => Some(tasks.try_join_next()?.map_err(|error| error.to_string())),
            #[cfg(feature = "testing")]
            Self::Stepped(tasks) => tasks.try_join_next().map(Ok),
        }
    }
}

#[cfg(feature = "testing")]
pub(crate) mod stepped {
    //! Tasks of a stepper. One that panics ends the simulation.

    use std::future::Future;

    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

    use crate::stepper::Stepper;

    pub(crate) struct Tasks<T> {
        stepper: Stepper,
        name: &'static str,
        done: UnboundedSender<T>,
        outcomes: UnboundedReceiver<T>,
        unjoined: usize,
    }

    impl<T: Send + 'static> Tasks<T> {
        pub(super) fn new(stepper: Stepper, name: &'static str) -> Self {
            let (done, outcomes) = unbounded_channel();
            Self { stepper, name, done, outcomes, unjoined: 0 }
        }

        pub(super) fn spawn(&mut self, work: impl Future<Output = T> + Send + 'static) {
            let done = self.done.clone();
            self.unjoined += 1;
            self.stepper.spawn(self.name, async move {
                let _ = done.send(work.await); // Whoever began it may have ended.
            });
        }

        pub(super) fn len(&self) -> usize {
            self.unjoined
        }

        pub(super) async fn join_next(&mut self) -> Option<T> {
            if self.unjoined == 0 {
                return None;
            }
            let outcome = self.outcomes.recv().await?;
            self.unjoined -= 1;
            Some(outcome)
        }

        pub(super) fn try_join_next(&mut self) -> Option<T> {
            let outcome = self.outcomes.try_recv().ok()?;
            self.unjoined -= 1;
            Some(outcome)
        }
    }
}
