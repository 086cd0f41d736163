//! Gives back memory that holds code of this program's own which only its start has needed.
//!
//! The pages are the file's: what is needed again comes back from the page cache when it is touched. Called once, when the server runs.

use std::ffi::{c_int, c_void};

/// Drops the mapped pages of the program's code and constants (madvise(2), MADV_DONTNEED). Nothing that was written to is among them.
pub fn release() {
    // SAFETY: the callback has the right signature, keeps nothing, and does not unwind.
    unsafe { libc::dl_iterate_phdr(Some(release_segments), std::ptr::null_mut()) };
}

/// For the first object that is told of, which is the program itself (dl_iterate_phdr(3)).
unsafe extern "C" fn release_segments(info: *mut libc::dl_phdr_info, _: usize, _: *mut c_void) -> c_int {
    // SAFETY: the C library gives a valid structure, whose headers are as many as it says.
    let (base, headers) = unsafe {
        let info = &*info;
        (info.dlpi_addr, std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)))
    };
    let page = rustix::param::page_size() as u64;
    for header in headers {
        // What may be written holds relocated addresses, also where it was made read-only afterwards.
        if header.p_type != libc::PT_LOAD || header.p_flags & libc::PF_W != 0 {
            continue;
        }
        let start = (base + header.p_vaddr) / page * page;
        let end = (base + header.p_vaddr + header.p_memsz).next_multiple_of(page);
        // SAFETY: these pages are mapped privately from the program's file and were never written to, so the kernel reads the same bytes anew.
        unsafe { libc::madvise(start as *mut c_void, (end - start) as usize, libc::MADV_DONTNEED) };
    }
    1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::family;
    use rustix::process::getpid;

    #[test]
    fn code_is_released_and_comes_back() {
        let before = family::resident_bytes(getpid());
        release();
        let after = family::resident_bytes(getpid());
        assert!(after < before, "from {before} to {after} bytes");
        // Whatever this calls was dropped.
        assert_eq!(format!("{:?}", "text".repeat(3)), "\"texttexttext\"");
    }
}
