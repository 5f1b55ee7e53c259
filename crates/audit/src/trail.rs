//! The trail as a service writes it: a bounded queue, and the one thread that empties it.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use time::OffsetDateTime;

use crate::checkpoint::SigningKey;
use crate::config::{AuditConfig, AuditSync};
use crate::error::{AuditError, Result};
use crate::inbox::{self, Inbox};
use crate::item::{AuditWait, Done, Item};
use crate::layout::{self, lock};
use crate::record::{AuditEvent, AuditRecord};
use crate::recover::recover;
use crate::refusals::Refusals;
use crate::writer::{Signing, Writer};

/// Bytes of lines that wait to be written.
const QUEUE_BYTES: usize = 16 << 20;
/// How long lines wait to be brought to the disk, and how long it is until what failed is tried again.
const EVERY: Duration = Duration::from_secs(1);
/// How often it is looked what commands left, who wait for that.
const LOOK: Duration = Duration::from_millis(250);

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    /// Bytes of the items, those that the writer has taken and not written yet included.
    bytes: usize,
    /// Lines that found no room.
    lost: u64,
    refusals: Refusals,
    /// Lines are in the order of their times, also where the clock is set back.
    last: Option<OffsetDateTime>,
    closing: bool,
}

/// How the trail is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditState {
    /// Why nothing can be written; none while it can.
    pub failing: Option<String>,
    /// Whether that is because the disk is full.
    pub full: bool,
    /// Lines that were lost since the start.
    pub lost: u64,
    /// Lines that were written since the start.
    pub written: u64,
}

pub(crate) struct Shared {
    queue: Mutex<Queue>,
    /// Something came, or is to be closed.
    came: Condvar,
    state: Mutex<AuditState>,
    config: AuditConfig,
    folder: PathBuf,
    /// What checkpoints are signed with.
    public_key: Option<String>,
}

/// The trail of a data folder, which one process writes at a time; cheap to clone. Closed when the last of
/// them is dropped, or by [`Self::close`].
#[derive(Clone)]
pub struct AuditTrail(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for AuditTrail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("AuditTrail").field(&self.0.shared.folder).finish()
    }
}

impl AuditTrail {
    /// Opens the trail of this folder, which is made if it is missing, and tells in it how it was found.
    ///
    /// # Errors
    /// [`AuditError::InUse`], [`AuditError::File`]. Where the disk is full there is a trail, which waits for
    /// room.
    pub fn open(folder: &Path, config: &AuditConfig) -> Result<Self> {
        layout::make_folder(folder).map_err(AuditError::file(folder))?;
        let lock = lock_patiently(folder)?;
        inbox::sweep(folder);
        let found = recover(folder)?;
        for record in &found.told {
            let what = record.detail.as_deref().unwrap_or_default();
            if record.event == AuditEvent::Healed {
                tracing::warn!(bytes = record.count, what, "the audit trail was healed");
            } else {
                tracing::error!(what, "THE AUDIT TRAIL IS NOT AS IT WAS LEFT: reasonedit audit verify");
            }
        }
        let told = found.told.clone();
        let mut writer = Writer::new(folder, found, lock);
        let signing = signing(folder, config)?;
        let public_key = signing.as_ref().map(|signing| signing.key.public());
        writer.sign_with(signing);
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            came: Condvar::new(),
            state: Mutex::default(),
            config: config.clone(),
            folder: folder.to_owned(),
            public_key,
        });
        let version = format!("reasonedit {}", env!("CARGO_PKG_VERSION"));
        for record in told {
            shared.push(&record, None);
        }
        let opened = AuditRecord::own(AuditEvent::Opened, None, version);
        let (sender, tried) = std::sync::mpsc::channel();
        let done: Done = Box::new(move |result| drop(sender.send(result)));
        shared.push(&opened, Some((AuditWait::Synced, done)));
        let writing = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("audit".to_owned());
        let thread = thread.spawn(move || run(&writing, writer)).map_err(AuditError::file(folder))?;
        let trail = Self(Arc::new(Handle { shared, thread: Mutex::new(Some(thread)) }));
        // Where it can be written there is a record of its end from the beginning.
        let _ = tried.recv();
        Ok(trail)
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.0.shared.folder
    }

    /// The public key of checkpoints, 64 hexadecimal digits; none where none are made.
    pub fn public_key(&self) -> Option<&str> {
        self.0.shared.public_key.as_deref()
    }

    /// Adds a line. Never waits; what finds no room is lost and counted.
    pub fn append(&self, record: &AuditRecord) {
        self.0.shared.push(record, None);
    }

    /// Adds a line; `done` is called once it is written or synced, or can't be for now. It waits on then.
    pub fn append_then(
        &self,
        record: &AuditRecord,
        until: AuditWait,
        done: impl FnOnce(Result<()>) + Send + 'static,
    ) {
        self.0.shared.push(record, Some((until, Box::new(done))));
    }

    /// Adds the line of a request that was refused: of many within a minute a few, and a count of the others.
    pub fn refused(&self, record: AuditRecord) {
        let mut queue = self.0.shared.queue.lock();
        let line = queue.refusals.add(record);
        drop(queue);
        match line {
            Some(line) => self.append(&line),
            None => {
                self.0.shared.came.notify_one();
            }
        }
    }

    /// What is to be waited for before a request is answered: before a change, and before what changes
    /// nothing.
    pub fn wait(&self, changed: bool) -> Option<AuditWait> {
        if changed && self.0.shared.config.sync == AuditSync::Every {
            return Some(AuditWait::Synced);
        }
        self.refuses().then_some(AuditWait::Written)
    }

    /// Whether nothing is to be answered that isn't in the trail.
    pub fn refuses(&self) -> bool {
        self.0.shared.config.refuses()
    }

    /// Why requests are to be refused, if they are.
    ///
    /// # Errors
    /// [`AuditError::Unwritten`].
    pub fn ready(&self) -> Result<()> {
        let state = self.0.shared.state.lock();
        match &state.failing {
            Some(reason) if self.refuses() => {
                Err(AuditError::Unwritten { full: state.full, reason: reason.clone() })
            }
            _ => Ok(()),
        }
    }

    /// How it is.
    pub fn state(&self) -> AuditState {
        self.0.shared.state.lock().clone()
    }

    /// Waits until what was added before is written, or can't be for now. Blocks.
    ///
    /// # Errors
    /// [`AuditError::Unwritten`].
    pub fn flush(&self) -> Result<()> {
        let (sender, receiver) = std::sync::mpsc::channel();
        let done: Done = Box::new(move |result| drop(sender.send(result)));
        {
            let mut queue = self.0.shared.queue.lock();
            if queue.closing {
                return Ok(());
            }
            // An item that says nothing is not written, and its turn comes after those before it.
            let at = OffsetDateTime::now_utc();
            queue.items.push_back(Item { at, body: String::new(), done: Some((AuditWait::Written, done)) });
        }
        self.0.shared.came.notify_one();
        receiver.recv().unwrap_or(Ok(()))
    }

    /// Writes what waits, brings it to the disk, and ends. What comes later is not written. Blocks.
    pub fn close(&self) {
        self.0.close();
    }
}

impl Handle {
    fn close(&self) {
        self.shared.queue.lock().closing = true;
        self.shared.came.notify_one();
        if let Some(thread) = self.thread.lock().take() {
            // A panic of the thread was told when it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

/// As [`lock`]; a command beside the service has it for a moment only.
fn lock_patiently(folder: &Path) -> Result<File> {
    let until = Instant::now() + EVERY;
    loop {
        match lock(folder) {
            Err(AuditError::InUse(_)) if Instant::now() < until => std::thread::sleep(EVERY / 50),
            locked => return locked,
        }
    }
}

impl Shared {
    fn push(&self, record: &AuditRecord, done: Option<(AuditWait, Done)>) {
        // Plain data: it has a JSON form.
        let body = serde_json::to_string(record).unwrap_or_default();
        let refused = {
            let mut queue = self.queue.lock();
            let room = !queue.closing && queue.bytes + body.len() <= QUEUE_BYTES;
            if room {
                let now = OffsetDateTime::now_utc();
                let at = queue.last.map_or(now, |last| last.max(now));
                queue.last = Some(at);
                queue.bytes += body.len();
                queue.items.push_back(Item { at, body, done });
                None
            } else {
                queue.lost += 1;
                self.state.lock().lost += 1;
                Some(done)
            }
        };
        self.came.notify_one();
        if let Some(Some((_, done))) = refused {
            let state = self.state.lock().clone();
            let reason = state.failing.unwrap_or_else(|| "no room is left for lines that wait".to_owned());
            done(Err(AuditError::Unwritten { full: state.full, reason }));
        }
    }
}

/// Empties the queue until it is closed.
/// What signs checkpoints, if any are to be made. A key that can't be made for want of room say keeps nothing
/// from being written; one that is there and is none is a fault of who put it there.
fn signing(folder: &Path, config: &AuditConfig) -> Result<Option<Signing>> {
    if !config.makes_checkpoints() {
        return Ok(None);
    }
    match SigningKey::open(&config.signing_key(folder)) {
        Ok(key) => Ok(Some(Signing::new(key, config))),
        Err(error @ AuditError::SigningKey(_)) => Err(error),
        Err(error) => {
            tracing::error!(%error, "no checkpoints of the audit trail are made until the next start");
            Ok(None)
        }
    }
}

fn run(shared: &Shared, mut writer: Writer) {
    let mut tried = Instant::now();
    let (mut inbox, mut look) = (Inbox::default(), tried);
    loop {
        // Before the lock, and not with every line: it looks at the disk.
        let mut left = Vec::new();
        if look <= Instant::now() {
            left = inbox.take(&shared.folder);
            look = Instant::now() + if writer.failing() { EVERY } else { LOOK };
        }
        let (closing, lost) = {
            let mut queue = shared.queue.lock();
            for record in &left {
                push_own(&mut queue, record);
            }
            wait(shared, &writer, (tried, look), &mut queue);
            let closing = queue.closing;
            if closing {
                for record in queue.refusals.take(Instant::now(), true) {
                    push_own(&mut queue, &record);
                }
                push_own(&mut queue, &AuditRecord { event: AuditEvent::Closed, ..AuditRecord::default() });
            }
            writer.take(&mut queue.items);
            (closing, std::mem::take(&mut queue.lost))
        };
        writer.lost(lost);
        tried = Instant::now();
        let before = writer.waiting_bytes();
        let sync = closing
            || inbox.is_waiting()
            || writer.unsynced_since().is_some_and(|since| since.elapsed() >= EVERY);
        let result = writer.turn(sync, shared.config.keep_days);
        shared.queue.lock().bytes -= before - writer.waiting_bytes();
        if result.is_ok() && inbox.is_waiting() {
            inbox.kept();
        }
        tell(shared, &writer, &result);
        // Who is told that it failed finds that out of the state too.
        if let Err(error) = &result {
            writer.give_up(error);
        }
        if closing {
            if result.is_err() {
                tracing::error!(lines = writer.waiting(), "lines of the audit trail are lost: it is closed");
            }
            return;
        }
    }
}

/// Waits until there is something to do, or it is time to look what was left by others.
fn wait(
    shared: &Shared,
    writer: &Writer,
    (tried, look): (Instant, Instant),
    queue: &mut MutexGuard<'_, Queue>,
) {
    loop {
        let now = Instant::now();
        for record in queue.refusals.take_due(now) {
            push_own(queue, &record);
        }
        // What fails is tried again once a second, whatever comes meanwhile.
        let again = writer.failing().then(|| tried + EVERY);
        let due = again.or_else(|| writer.unsynced_since().map(|since| since + EVERY));
        let something = queue.closing || again.is_none() && !queue.items.is_empty();
        if something || due.is_some_and(|due| due <= now) || look <= now {
            return;
        }
        let next = due.into_iter().chain(queue.refusals.due()).fold(look, Instant::min);
        shared.came.wait_until(queue, next);
    }
}

/// Adds a line of the trail's own.
fn push_own(queue: &mut Queue, record: &AuditRecord) {
    let body = serde_json::to_string(record).unwrap_or_default();
    let now = OffsetDateTime::now_utc();
    let at = queue.last.map_or(now, |last| last.max(now));
    queue.last = Some(at);
    queue.bytes += body.len();
    queue.items.push_back(Item { at, body, done: None });
}

/// Tells how it went, where that has changed.
fn tell(shared: &Shared, writer: &Writer, result: &std::io::Result<()>) {
    let mut state = shared.state.lock();
    state.written = writer.written();
    match result {
        Ok(()) if state.failing.is_some() => {
            tracing::warn!(lost = state.lost, "the audit trail is written again");
            (state.failing, state.full) = (None, false);
        }
        Ok(()) => {}
        Err(error) => {
            let (reason, told) = (error.to_string(), AuditError::unwritten(error));
            if state.failing.as_ref() != Some(&reason) {
                let policy = shared.config.on_failure;
                tracing::error!(%error, folder = %shared.folder.display(), on_failure = ?policy, "THE AUDIT TRAIL CAN'T BE WRITTEN");
            }
            state.full = matches!(told, AuditError::Unwritten { full: true, .. });
            state.failing = Some(reason);
        }
    }
}
