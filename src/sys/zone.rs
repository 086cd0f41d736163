//! The local time zone.

use std::mem::MaybeUninit;

/// How far local time is ahead of UTC at `second` since 1970, minutes; 0 where the zone is unknown. The first call of the process reads
/// the zone's file (tzset(3)); later ones only take glibc's lock for a moment.
pub fn offset_minutes(second: u64) -> i32 {
    let Ok(time) = libc::time_t::try_from(second) else { return 0 };
    let mut parts = MaybeUninit::<libc::tm>::uninit();
    // SAFETY: both pointers are valid for the call; the result is `parts` filled in, or null.
    let filled = unsafe { libc::localtime_r(&time, parts.as_mut_ptr()) };
    if filled.is_null() {
        return 0;
    }
    // SAFETY: localtime_r has filled it in.
    let parts = unsafe { parts.assume_init() };
    i32::try_from(parts.tm_gmtoff / 60).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_zone_is_more_than_a_day_away() {
        assert!(offset_minutes(784_111_777).abs() <= 24 * 60);
        assert_eq!(offset_minutes(u64::MAX), 0);
    }
}
