//! No line is lost, split or doubled, whatever rotates or moves the file. The clock is passed in.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::SystemTime;

use proptest::prelude::*;

use super::*;

const START: SystemTime = SystemTime::UNIX_EPOCH;

/// A time long after the files of this test are made, because the age of a file that is there counts from then.
fn at(millis: i64) -> SystemTime {
    START + Duration::from_secs(5_000_000_000) + Duration::from_millis(u64::try_from(millis).unwrap())
}

fn rotation(bytes: Option<u64>, after_ms: Option<u64>, keep: usize) -> Rotation {
    Rotation { bytes, after: after_ms.map(Duration::from_millis), keep }
}

fn write(file: &SharedFile, now: SystemTime, lines: &str) {
    file.append(now, &mut |out| out.write_all(lines.as_bytes())).unwrap();
}

/// The files of the directory, in the order of their names as `ls` and `cat` have it, the current one last.
fn files(current: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(current.parent().unwrap()).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.retain(|path| path != current);
    if current.exists() {
        paths.push(current.to_owned());
    }
    paths
}

fn contents(current: &Path) -> Vec<String> {
    files(current).iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Batches of two writers, of any size, at times that also step back: the files in the order of their names hold
    /// exactly what was written, and each holds whole batches.
    #[test]
    fn the_files_in_order_are_the_lines(
        bytes in prop::option::of(1..600_u64),
        after_ms in prop::option::of(1..400_u64),
        batches in prop::collection::vec((0..2_usize, 1..4_usize, 0..200_usize, -300..600_i64), 1..40),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.ndjson");
        let files_open = Files::default();
        let rotation = rotation(bytes, after_ms, 0);
        let writers = [(); 2].map(|()| files_open.open(&path, rotation).unwrap());
        let (mut now, mut expected, mut ends) = (10_000, String::new(), vec![0]);
        for (number, (writer, lines, length, step)) in batches.into_iter().enumerate() {
            now = (now + step).max(0);
            let batch = format!("{number}:{}\n", "x".repeat(length)).repeat(lines);
            write(&writers[writer], at(now), &batch);
            expected.push_str(&batch);
            ends.push(expected.len());
        }
        let found = contents(&path);
        prop_assert_eq!(found.concat(), expected);
        let mut end = 0;
        for file in &found[..found.len() - 1] {
            end += file.len();
            prop_assert!(ends.contains(&end), "a batch was split at {}", end);
            prop_assert!(!file.is_empty());
            prop_assert!(after_ms.is_some() || file.len() as u64 >= bytes.unwrap_or(u64::MAX), "too early");
        }
        if bytes.is_none() && after_ms.is_none() {
            prop_assert_eq!(found.len(), 1);
        }
    }
}

#[test]
fn two_threads_rotate_once() {
    const LINES: usize = 2_000;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events");
    let files_open = Files::default();
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let file = files_open.open(&path, rotation(Some(4_000), None, 0)).unwrap();
            scope.spawn(move || {
                for line in 0..LINES {
                    write(&file, SystemTime::now(), &format!("{writer} {line} {}\n", "y".repeat(line % 50)));
                }
            });
        }
    });
    let found = contents(&path);
    assert!(found.len() > 10, "{} files", found.len());
    for file in &found[..found.len() - 1] {
        assert!((4_000..4_100).contains(&file.len()), "{} bytes: rotated twice, or late", file.len());
    }
    let all = found.concat();
    for writer in ["0", "1"] {
        let numbers = all.lines().filter_map(|line| line.strip_prefix(writer)?.split(' ').nth(1));
        assert!(numbers.eq((0..LINES).map(|line| line.to_string())), "writer {writer}");
    }
}

/// What a later step needs to write elsewhere than on a worker.
#[test]
fn a_batch_can_be_written_by_any_thread() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events");
    let file = Files::default().open(&path, Rotation::default()).unwrap();
    let lines: Vec<u8> = b"1\n2\n".to_vec();
    let written = std::thread::spawn(move || file.append(at(0), &mut |out| out.write_all(&lines)));
    written.join().unwrap().unwrap();
    assert_eq!(contents(&path), ["1\n2\n"]);
}

#[test]
fn age_counts_from_the_first_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events");
    let rotation = rotation(None, Some(1_000), 0);
    let files_open = Files::default();
    let file = files_open.open(&path, rotation).unwrap();
    // An empty file does not age.
    write(&file, at(100_000), "1\n");
    write(&file, at(100_999), "2\n");
    assert_eq!(contents(&path), ["1\n2\n"]);
    write(&file, at(101_000), "3\n");
    write(&file, at(101_999), "4\n");
    assert_eq!(contents(&path), ["1\n2\n", "3\n4\n"]);

    // Opened again, it is as old as the file system says: made, or written to, just now.
    drop(file);
    let file = files_open.open(&path, rotation).unwrap();
    write(&file, SystemTime::now(), "5\n");
    assert_eq!(contents(&path), ["1\n2\n", "3\n4\n5\n"]);
    write(&file, SystemTime::now() + Duration::from_secs(2), "6\n");
    let all = contents(&path);
    assert_eq!(all.len(), 3);
    assert_eq!(all[2], "6\n");
}

#[test]
fn the_oldest_go_and_others_stay() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("e.log");
    fs::write(directory.path().join("e.old.log"), "not ours").unwrap();
    let file = Files::default().open(&path, rotation(Some(1), None, 2)).unwrap();
    for line in 0..6 {
        // All at the same time: the order is that of the counters.
        write(&file, at(0), &format!("{line}\n"));
    }
    assert_eq!(contents(&path), ["3\n", "4\n", "not ours", "5\n"]);
}

#[test]
fn what_cannot_be_removed_is_reported_and_keeps_nothing_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events");
    // By its name a file of ours, and the oldest.
    fs::create_dir(directory.path().join("events.1970-01-01T00-00-00.000Z")).unwrap();
    let file = Files::default().open(&path, rotation(Some(1), None, 1)).unwrap();
    let log = logged(|| (0..5).for_each(|line| write(&file, at(line), &format!("{line}\n"))));
    let [directory, set_aside, current]: [PathBuf; 3] = files(&path).try_into().unwrap();
    assert!(directory.is_dir());
    assert_eq!([set_aside, current].map(|path| fs::read_to_string(path).unwrap()), ["3\n", "4\n"]);
    assert_eq!(log.matches("but what belongs to it failed").count(), 1, "{log}");
}

#[test]
fn a_new_file_is_as_readable_as_the_old_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events");
    let file = Files::default().open(&path, rotation(Some(1), None, 0)).unwrap();
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    write(&file, at(0), "1\n");
    write(&file, at(0), "2\n");
    assert_eq!((contents(&path), mode()), (vec!["1\n".to_owned(), "2\n".to_owned()], 0o640));
}

#[test]
fn a_link_stays_and_what_it_leads_to_is_rotated() {
    let (links, directory) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (link, path) = (links.path().join("link"), directory.path().join("events"));
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let files_open = Files::default();
    let one = files_open.open(&link, rotation(Some(1), None, 0)).unwrap();
    let other = files_open.open(&path, rotation(Some(1), None, 0)).unwrap();
    assert!(Arc::ptr_eq(&one, &other));
    write(&one, at(0), "1\n");
    write(&other, at(0), "2\n");
    assert_eq!(contents(&path), ["1\n", "2\n"]);
    assert_eq!(fs::read_link(&link).unwrap(), path);
    assert_eq!(fs::read_dir(links.path()).unwrap().count(), 1);
}

/// What logrotate does: the lines of up to a second go into the file that was moved, and the rest into a new one.
#[test]
fn a_file_that_was_moved_away_or_removed_is_opened_anew() {
    for rotation in [Rotation::default(), rotation(Some(1 << 30), None, 0)] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events");
        let moved = directory.path().join("a-moved");
        let file = Files::default().open(&path, rotation).unwrap();
        write(&file, at(0), "1\n");
        fs::rename(&path, &moved).unwrap();
        write(&file, at(999), "2\n");
        assert_eq!(contents(&path), ["1\n2\n"]);
        write(&file, at(1_000), "3\n");
        assert_eq!(contents(&path), ["1\n2\n", "3\n"]);

        // logrotate's `create`: somebody else has made the new one.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "theirs\n").unwrap();
        write(&file, at(2_000), "4\n");
        assert_eq!(contents(&path), ["1\n2\n", "theirs\n4\n"]);

        // A clock that was set back does not keep it from looking.
        fs::remove_file(&path).unwrap();
        write(&file, at(5), "5\n");
        assert_eq!(contents(&path), ["1\n2\n", "5\n"]);
    }
}

/// A rotation that is due within the second in which the file was moved away renames nobody else's file.
#[test]
fn only_our_own_file_is_renamed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events");
    let file = Files::default().open(&path, rotation(Some(3), None, 0)).unwrap();
    write(&file, at(0), "1\n");
    fs::rename(&path, directory.path().join("a-moved")).unwrap();
    fs::write(&path, "theirs\n").unwrap();
    write(&file, at(1), "2\n");
    write(&file, at(2), "3\n");
    assert_eq!(contents(&path), ["1\n2\n", "theirs\n3\n"]);
}

/// What was logged while `run` ran.
fn logged(run: impl FnOnce()) -> String {
    let log = tempfile::NamedTempFile::new().unwrap();
    let writer = std::sync::Mutex::new(log.reopen().unwrap());
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(writer).finish();
    tracing::subscriber::with_default(subscriber, run);
    fs::read_to_string(log.path()).unwrap()
}

#[test]
fn a_rotation_that_fails_loses_nothing_and_is_reported_once_a_minute() {
    let directory = tempfile::tempdir().unwrap();
    // With the time in it, the name is longer than a file system takes.
    let path = directory.path().join("x".repeat(240));
    let file = Files::default().open(&path, rotation(Some(1), None, 0)).unwrap();
    let log = logged(|| {
        for second in 0..=125 {
            write(&file, at(second * 1_000), "1\n");
        }
    });
    assert_eq!(contents(&path), ["1\n".repeat(126)]);
    // The first line made the file large enough; then a minute, and another one.
    assert_eq!(log.matches("cannot start a new file: File name too long").count(), 3, "{log}");
}

#[test]
fn a_name_that_leads_to_something_else_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events");
    let moved = directory.path().join("moved");
    let file = Files::default().open(&path, rotation(Some(1), None, 0)).unwrap();
    let log = logged(|| {
        write(&file, at(0), "1\n");
        fs::rename(&path, &moved).unwrap();
        fs::create_dir(&path).unwrap();
        write(&file, at(1_000), "2\n");
        write(&file, at(2_000), "3\n");
        fs::remove_dir(&path).unwrap();
        write(&file, at(3_000), "4\n");
    });
    assert_eq!(fs::read_to_string(&moved).unwrap(), "1\n2\n3\n");
    assert_eq!(fs::read_to_string(&path).unwrap(), "4\n");
    assert_eq!(log.matches("cannot start a new file").count(), 1, "{log}");
}

/// A write that fails half way, as on a disk that is full for a moment.
#[test]
fn half_a_line_is_ended_in_the_file_it_stands_in() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events");
    let file = Files::default().open(&path, rotation(Some(3), None, 0)).unwrap();
    let failed = file.append(at(0), &mut |out| {
        out.write_all(b"half")?;
        Err(io::ErrorKind::StorageFull.into())
    });
    assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::StorageFull);
    write(&file, at(0), "1\n");
    assert_eq!(contents(&path), ["half\n", "1\n"]);
}

#[test]
fn devices_are_never_rotated() {
    let files_open = Files::default();
    let null = Path::new("/dev/null");
    let error = files_open.open(null, rotation(Some(1), None, 0)).err().unwrap();
    assert!(error.to_string().contains("cannot be rotated"), "{error}");
    write(&files_open.open(null, Rotation::default()).unwrap(), at(0), "1\n");
    let full = files_open.open(Path::new("/dev/full"), Rotation::default()).unwrap();
    for second in 0..3 {
        let error = full.append(at(second * 1_000), &mut |out| out.write_all(b"1\n")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}

#[test]
fn a_file_is_closed_with_its_last_node_and_the_last_rotation_holds() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events");
    let files_open = Files::default();
    let first = files_open.open(&path, Rotation::default()).unwrap();
    write(&first, at(0), "1\n");
    let second = files_open.open(&path, rotation(Some(1), None, 0)).unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    write(&first, at(0), "2\n");
    assert_eq!(contents(&path), ["1\n", "2\n"]);
    let weak = Arc::downgrade(&first);
    drop((first, second));
    assert!(weak.upgrade().is_none());
    write(&files_open.open(&path, Rotation::default()).unwrap(), at(0), "3\n");
    assert_eq!(contents(&path), ["1\n", "2\n3\n"]);
}

/// A write that stood still kept every other file from being opened, and a reload with it.
#[test]
fn a_write_that_stands_still_keeps_no_file_from_being_opened() {
    let directory = tempfile::tempdir().unwrap();
    let files = std::sync::Arc::new(Files::default());
    let (slow, other) = (directory.path().join("slow"), directory.path().join("other"));
    let shared = files.open(&slow, Rotation::default()).unwrap();
    let (say, stuck) = std::sync::mpsc::channel();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        shared.append(SystemTime::now(), &mut |_| {
            say.send(()).unwrap();
            wait.recv().map_err(io::Error::other)
        })
    });
    stuck.recv().unwrap();
    let (say, opened) = std::sync::mpsc::channel();
    let opener = std::thread::spawn(move || {
        for path in [slow, other] {
            say.send(files.open(&path, Rotation::default()).is_ok()).unwrap();
        }
    });
    for _ in 0..2 {
        assert_eq!(opened.recv_timeout(Duration::from_secs(20)), Ok(true), "a write stands still");
    }
    go.send(()).unwrap();
    writer.join().unwrap().unwrap();
    opener.join().unwrap();
}
