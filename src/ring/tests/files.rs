//! Files through the ring.

use std::ffi::CString;
use std::fs::File;
use std::os::unix::fs::{MetadataExt, symlink};

use super::*;

#[test]
fn nothing_outside_the_directory_can_be_opened() {
    let root = tempfile::tempdir().expect("a directory");
    let inside = root.path().join("inside");
    std::fs::create_dir_all(inside.join("sub")).expect("made");
    std::fs::write(root.path().join("secret"), "secret").expect("written");
    std::fs::write(inside.join("sub/file"), "file").expect("written");
    symlink("../secret", inside.join("up")).expect("made");
    symlink(root.path().join("secret"), inside.join("absolute")).expect("made");
    symlink("sub/../sub/file", inside.join("link")).expect("made");
    on_ring(move |ring| async move {
        let directory = descriptor(File::open(&inside).expect("opens"));
        let open = async |path: &str| {
            let path = CString::new(path).expect("no NUL");
            ring.open_beneath(&directory, path, OpenFlags::READ_BENEATH).await
        };
        for path in ["sub/file", "link", "sub/../sub/file", "./sub//file"] {
            let fd = open(path).await.expect(path);
            assert!(rustix::io::fcntl_getfd(&fd).expect("open").contains(rustix::io::FdFlags::CLOEXEC));
            assert_eq!(std::io::read_to_string(File::from(fd)).expect("reads"), "file");
        }
        for path in ["..", "../secret", "sub/../../secret", "up", "absolute", "/etc/passwd", "/"] {
            assert_eq!(open(path).await.expect_err(path).raw_os_error(), Some(libc::EXDEV), "{path}");
        }
        assert_eq!(open("none").await.expect_err("not there").raw_os_error(), Some(libc::ENOENT));
        assert_eq!(open("sub/file/x").await.expect_err("no directory").raw_os_error(), Some(libc::ENOTDIR));
    });
    drop(root);
}

#[test]
fn files_are_written_read_and_looked_at() {
    on_ring(|ring| async move {
        let file = tempfile::tempfile().expect("a file");
        let metadata = file.try_clone().expect("a clone");
        let fd = descriptor(file);
        let (count, payload) = ring.write_at(&fd, Payload::Static(b"0123456789"), 0).await.expect("written");
        assert_eq!((count, payload.len()), (10, 10));
        ring.write_at(&fd, Payload::Static(b"xy"), 100).await.expect("written");
        let read = ring.read_at(&fd, b"before ".to_vec(), 4, 3).await.expect("read");
        assert_eq!(&read[..], b"before 3456");
        assert_eq!(ring.read_at(&fd, Vec::new(), 4096, 100).await.expect("read"), b"xy");
        assert!(ring.read_at(&fd, Vec::new(), 4096, 102).await.expect("read").is_empty());
        let (stat, metadata) = (ring.stat(&fd).await.expect("a stat"), metadata.metadata().expect("metadata"));
        assert!(stat.is_file() && !stat.is_directory());
        assert_eq!((stat.size, stat.inode, stat.mode), (102, metadata.ino(), metadata.mode()));
        let modified_ns = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
        assert_eq!(stat.modified_ns, modified_ns);
        let directory = descriptor(File::open("/").expect("opens"));
        assert!(ring.stat(&directory).await.expect("a stat").is_directory());
        let error = ring.read_at(&directory, Vec::new(), 10, 0).await.expect_err("a directory");
        assert_eq!(error.raw_os_error(), Some(libc::EISDIR));
    });
}
