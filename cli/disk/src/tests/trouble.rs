//! Tests of a disk that is full, that hangs, or that is somebody else's.

use super::*;

/// A folder in memory that does what a test wants.
#[derive(Clone, Default)]
struct Double(Arc<Inner>);

#[derive(Default)]
struct Inner {
    hangs: Mutex<bool>,
    changed: Condvar,
    /// Bytes that fit; `None` for any number.
    room: Mutex<Option<usize>>,
    segments: Mutex<BTreeMap<u64, Vec<u8>>>,
    learnt: Mutex<Option<Vec<u8>>>,
}

struct DoubleSegment(Double, u64);

impl Double {
    fn set_hangs(&self, hangs: bool) {
        *self.0.hangs.lock().unwrap() = hangs;
        self.0.changed.notify_all();
    }

    fn set_room(&self, room: Option<usize>) {
        *self.0.room.lock().unwrap() = room;
    }

    /// Every call of a disk that hangs waits here.
    fn pass(&self) {
        let hangs = self.0.hangs.lock().unwrap();
        drop(self.0.changed.wait_while(hangs, |hangs| *hangs).unwrap());
    }

    fn used(&self) -> usize {
        self.0.segments.lock().unwrap().values().map(Vec::len).sum()
    }
}

impl Folder for Double {
    fn open(&self) -> io::Result<bool> {
        self.pass();
        Ok(true)
    }

    fn list(&self) -> io::Result<Vec<u64>> {
        Ok(self.0.segments.lock().unwrap().keys().copied().collect())
    }

    fn create(&self, number: u64) -> io::Result<Box<dyn Segment>> {
        self.pass();
        self.0.segments.lock().unwrap().insert(number, Vec::new());
        Ok(Box::new(DoubleSegment(self.clone(), number)))
    }

    fn read(&self, number: u64) -> io::Result<Vec<u8>> {
        self.pass();
        let segments = self.0.segments.lock().unwrap();
        segments
            .get(&number)
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn remove(&self, number: u64) -> io::Result<()> {
        self.pass();
        self.0.segments.lock().unwrap().remove(&number);
        Ok(())
    }

    fn read_learnt(&self) -> io::Result<Option<Vec<u8>>> {
        self.pass();
        Ok(self.0.learnt.lock().unwrap().clone())
    }

    fn replace_learnt(&self, bytes: &[u8]) -> io::Result<Box<dyn Segment>> {
        self.pass();
        *self.0.learnt.lock().unwrap() = Some(bytes.to_vec());
        Ok(Box::new(DoubleLearnt(self.clone())))
    }
}

/// The file of what was found out; it always has room.
struct DoubleLearnt(Double);

impl Segment for DoubleLearnt {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.0.pass();
        let mut learnt = self.0.0.learnt.lock().unwrap();
        learnt.get_or_insert_default().extend_from_slice(bytes);
        Ok(())
    }

    fn truncate(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.pass();
        Ok(())
    }
}

impl Segment for DoubleSegment {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let Self(folder, number) = self;
        folder.pass();
        let room = *folder.0.room.lock().unwrap();
        let left = room.map_or(usize::MAX, |room| room.saturating_sub(folder.used()));
        let mut segments = folder.0.segments.lock().unwrap();
        let segment = segments.get_mut(number).unwrap();
        // As much as fits is there afterwards.
        segment.extend_from_slice(&bytes[..bytes.len().min(left)]);
        match bytes.len() <= left {
            true => Ok(()),
            false => Err(io::ErrorKind::StorageFull.into()),
        }
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let mut segments = self.0.0.segments.lock().unwrap();
        let segment = segments.get_mut(&self.1).unwrap();
        segment.truncate(usize::try_from(len).unwrap());
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.pass();
        Ok(())
    }
}

#[test]
fn on_a_full_disk_copies_are_lost_and_no_drop_is() {
    let state = State::new();
    let folder = Double::default();
    let first = Process::start_in(&state, Arc::new(folder.clone()));
    first.keep("/a");
    first.keep("/b");
    first.wait("writing", |stats| stats.written == 2);
    folder.set_room(Some(folder.used()));
    first.keep("/c");
    first.wait("a refusal", |stats| stats.lost > 0);
    let Some(Trouble::Failed(why)) = first.disk.stats().trouble else {
        panic!("it is told: {:?}", first.disk.stats());
    };
    assert!(!why.is_empty());
    // There is no room to say that this one is gone, so that all go.
    first.answer(&request(Method::POST, "/a", &[]), StatusCode::OK, b"");
    first.wait("making room", |stats| stats.copies == 0);
    assert!(first.disk.flush(PATIENCE));
    let second = Process::start_in(&state, Arc::new(folder.clone()));
    second.wait_until_loaded();
    assert_eq!(second.site.stats(second.now()).copies, 0);
    // Memory has what it had, and with room again so has the disk.
    folder.set_room(None);
    assert_eq!(first.rescued(&get("/b")), Some(line("/b")));
    first.keep("/d");
    first.wait("writing", |stats| {
        stats.copies > 0 && stats.trouble.is_none()
    });
    first.stop();
}

#[test]
fn a_disk_that_hangs_costs_no_request_more_than_one_moment() {
    let state = State::new();
    let folder = Double::default();
    let first = Process::start_in(&state, Arc::new(folder.clone()));
    for number in 0..1000 {
        first.answer(&get(&format!("/{number}")), StatusCode::OK, b"page");
    }
    first.wait("writing", |stats| stats.copies == 1000);
    folder.set_hangs(true);
    let began = Instant::now();
    for number in 0..1000 {
        let write = request(Method::POST, &format!("/{number}"), &[]);
        first.answer(&write, StatusCode::OK, b"");
    }
    first.keep("/7");
    // Were each to wait for itself, it would be 25 seconds.
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    assert!(
        !first.disk.flush(Duration::from_millis(1)),
        "a purge says so"
    );
    assert_eq!(first.rescued(&get("/7")), Some(line("/7")));
    folder.set_hangs(false);
    assert!(first.disk.flush(PATIENCE));
    first.stop();
    let second = Process::start_in(&state, Arc::new(folder));
    second.wait_until_loaded();
    assert_eq!(second.rescued(&get("/7")), Some(line("/7")));
}

#[test]
fn a_site_answers_while_the_folder_cannot_be_opened_and_drops_of_that_time_count() {
    let state = State::new();
    let folder = Double::default();
    let first = Process::start_in(&state, Arc::new(folder.clone()));
    first.keep("/a");
    first.keep("/b");
    first.stop();
    folder.set_hangs(true);
    let second = Process::start_in(&state, Arc::new(folder.clone()));
    second.keep("/c");
    second.answer(&request(Method::POST, "/a", &[]), StatusCode::OK, b"");
    assert_eq!(second.rescued(&get("/c")), Some(line("/c")));
    folder.set_hangs(false);
    second.wait_until_loaded();
    assert_eq!(second.rescued(&get("/a")), None);
    assert_eq!(second.rescued(&get("/b")), Some(line("/b")));
    second.stop();
    let third = Process::start_in(&state, Arc::new(folder));
    third.wait_until_loaded();
    assert_eq!(third.rescued(&get("/a")), None);
    assert_eq!(third.rescued(&get("/c")), Some(line("/c")));
}

#[test]
fn a_second_process_waits_for_the_folder() {
    let state = State::new();
    let first = Process::start(&state);
    first.wait_until_loaded();
    let second = Process::start(&state);
    second.wait("being told", |stats| stats.trouble == Some(Trouble::InUse));
    second.stop();
}
