//! Owns the form in which copies pass between a command and the instance that runs: each record behind its
//! length, 32 bits of which the last byte comes first.
//! Never knows what a record says.

/// How many bytes of records are gathered before they are passed on; fewer only at the end.
pub(crate) const BATCH_BYTES: usize = 1 << 20;

/// Appends a record; one of four gibibytes or more is left out.
pub(crate) fn put(record: &[u8], out: &mut Vec<u8>) {
    if let Ok(len) = u32::try_from(record.len()) {
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(record);
    }
}

/// The records; `None` where the bytes are not whole ones.
pub(crate) fn split(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let (len, rest) = bytes.split_first_chunk()?;
        let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
        let (record, rest) = rest.split_at_checked(len)?;
        records.push(record);
        bytes = rest;
    }
    Some(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_split_as_they_were_put_and_never_in_part() {
        let records = [&b"one"[..], b"", b"another"];
        let mut bytes = Vec::new();
        records.iter().for_each(|record| put(record, &mut bytes));
        assert_eq!(split(&bytes).unwrap(), records);
        assert!(split(&bytes[..bytes.len() - 1]).is_none() && split(&bytes[..2]).is_none());
        assert!(split(&[]).unwrap().is_empty());
    }
}
