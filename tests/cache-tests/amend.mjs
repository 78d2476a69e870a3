// Brings single tests of the npm release up to RFC 9111 (June 2022), which is younger than it. Its
// authors have changed the same tests in the same sense since.

// §5.1: of several Age values the first counts, and one that is no number is ignored. The release
// has these responses stale.
const AGE_IGNORED = [
  'nonnumeric', 'negative', 'float', 'prefix-twoline', 'dup-0', 'dup-0-twoline', 'dup-old'
]
// Nothing is said of parameters, so these only tell how a cache is.
const AGE_UNSAID = ['parameter', 'numeric-parameter']

// The release asks for an answer that counts requests, from an origin that closes: nobody can give
// it. What §4.2.4 and §5.2.2.2 ask for is an error; no copy is held where there is no validator.
const STALE_FORBIDDEN = {
  'stale-close-must-revalidate': 504,
  'stale-close-proxy-revalidate': 504,
  'stale-close-s-maxage=2': 504,
  'stale-close-no-cache': 502
}

export default function amend (test) {
  const [first, second] = test.requests
  const age = /^age-parse-(.*)/.exec(test.id)?.[1]
  if (AGE_IGNORED.includes(age)) {
    return { ...test, requests: [first, { ...second, expected_type: 'cached' }] }
  }
  if (AGE_UNSAID.includes(age)) {
    return { ...test, kind: 'check' }
  }
  if (test.id in STALE_FORBIDDEN) {
    const refused = {
      disconnect: true,
      expected_status: STALE_FORBIDDEN[test.id],
      expected_response_headers_missing: ['Server-Request-Count'],
      check_body: false
    }
    return { ...test, requests: [first, refused] }
  }
  return test
}
