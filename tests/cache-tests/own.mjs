// Our own tests in the suite's format, for what its npm release does not have: targeted fields
// (RFC 9213) in place of its Surrogate-Control tests, parts of a copy, and what belongs to this
// program alone. A test without `kind` is required.

const WAIT = { setup: true, pause_after: true }

// One response with these fields; what the second request must find, `cached` or `not_cached`.
function targeted (id, name, headers, expected, kind) {
  return {
    name,
    id,
    kind,
    requests: [
      { response_headers: headers, ...WAIT },
      { expected_type: expected }
    ]
  }
}

function fieldTests (field) {
  const prefix = field.toLowerCase().split('-')[0]
  const own = value => [field, value, false]
  const test = (id, name, headers, expected, kind) =>
    targeted(`${prefix}-${id}`, `${field}: ${name}`, headers, expected, kind)
  return [
    test('max-age', 'a positive max-age makes a response fresh',
      [own('max-age=3600')], 'cached', 'optimal'),
    test('max-age-huge', 'more than 31 bits of seconds are very long',
      [own('max-age=99999999999')], 'cached', 'optimal'),
    test('max-age-extension', 'an unknown directive does not matter',
      [own('foobar, max-age=3600')], 'cached', 'optimal'),
    test('max-age-0', 'max-age=0 is stale', [own('max-age=0')], 'not_cached'),
    test('max-age-age', 'an Age above max-age is stale',
      [['Date', 0], own('max-age=3600'), ['Age', '7200']], 'not_cached'),
    test('over-past-expires', 'it stands for a past Expires too',
      [own('max-age=3600'), ['Expires', -10000], ['Date', 0]], 'cached', 'optimal'),
    test('over-future-expires', 'it stands for a future Expires too',
      [own('max-age=0'), ['Expires', 10000], ['Date', 0]], 'not_cached'),
    test('over-short-max-age', 'a long max-age wins over a short one of Cache-Control',
      [['Cache-Control', 'max-age=1'], own('max-age=3600')], 'cached', 'optimal'),
    test('over-long-max-age', 'a short max-age wins over a long one of Cache-Control',
      [['Cache-Control', 'max-age=3600'], own('max-age=1')], 'not_cached'),
    test('private', 'private wins over max-age of Cache-Control',
      [['Cache-Control', 'max-age=3600'], own('private')], 'not_cached'),
    test('no-cache', 'no-cache wins over max-age of Cache-Control',
      [['Cache-Control', 'max-age=3600'], own('no-cache')], 'not_cached'),
    test('no-store', 'no-store wins over max-age of Cache-Control',
      [['Cache-Control', 'max-age=3600'], own('no-store')], 'not_cached'),
    test('over-no-store', 'max-age wins over no-store of Cache-Control',
      [['Cache-Control', 'no-store'], own('max-age=3600')], 'cached'),
    test('invalid', 'a field that is no dictionary does not count',
      [['Cache-Control', 'no-store'], own('max-age=3600, &&&&&')], 'not_cached'),
    test('invalid-type', 'a max-age that is no integer says nothing',
      [['Cache-Control', 'no-store'], own('max-age="3600"')], 'not_cached'),
    test('capitals', 'names of directives are in lower case, others do not count',
      [own('MaX-aGe=3600')], 'not_cached')
  ]
}

const COMPLETE = {
  response_headers: [['Cache-Control', 'max-age=3600'], ['ETag', '"a"']],
  response_body: '0123456789',
  setup: true
}

function part (id, name, requestHeaders, expected) {
  return {
    name,
    id: `part-${id}`,
    requests: [COMPLETE, { request_headers: requestHeaders, expected_type: 'cached', ...expected }]
  }
}

export default {
  name: 'RETTER',
  id: 'retter',
  tests: [
    ...fieldTests('CDN-Cache-Control'),
    ...fieldTests('Retter-Cache-Control'),
    {
      name: 'Retter-Cache-Control wins over CDN-Cache-Control, and no client sees it',
      id: 'retter-over-cdn',
      requests: [
        {
          response_headers: [
            ['CDN-Cache-Control', 'no-store', false],
            ['Retter-Cache-Control', 'max-age=3600', false]
          ],
          expected_response_headers_missing: ['Retter-Cache-Control'],
          ...WAIT
        },
        {
          expected_type: 'cached',
          expected_response_headers: ['CDN-Cache-Control', 'Cache-Status', 'Age'],
          expected_response_headers_missing: ['Retter-Cache-Control']
        }
      ]
    },
    {
      name: 'stale-while-revalidate: a stale response answers while it is fetched again',
      id: 'behind',
      requests: [
        {
          response_headers: [['Cache-Control', 'max-age=1, stale-while-revalidate=3600']],
          ...WAIT
        },
        {
          response_headers: [['Cache-Control', 'max-age=3600']],
          expected_type: 'cached'
        }
      ]
    },
    {
      name: 'stale-while-revalidate: not after its window',
      id: 'behind-window',
      requests: [
        {
          response_headers: [['Cache-Control', 'max-age=1, stale-while-revalidate=1']],
          ...WAIT
        },
        { expected_type: 'not_cached' }
      ]
    },
    part('if-range-match', 'a part of the very representation that the client has',
      [['Range', 'bytes=2-3'], ['If-Range', '"a"']],
      {
        expected_status: 206,
        expected_response_text: '23',
        expected_response_headers: [['Content-Range', 'bytes 2-3/10']]
      }),
    part('if-range-mismatch', 'all of it where the client has another one',
      [['Range', 'bytes=2-3'], ['If-Range', '"b"']],
      { expected_status: 200, expected_response_text: '0123456789' }),
    part('none', '416 where nothing is in range', [['Range', 'bytes=10-']],
      {
        // It carries no field of the copy, so nothing to count requests by.
        expected_type: 'any',
        expected_status: 416,
        expected_response_text: '',
        expected_response_headers: [['Content-Range', 'bytes */10']]
      }),
    part('several', 'several parts as multipart/byteranges', [['Range', 'bytes=-1, 0-1']],
      {
        expected_status: 206,
        expected_response_text: [
          '',
          '--retter-part-0', 'Content-Type: text/plain', 'Content-Range: bytes 9-9/10', '', '9',
          '--retter-part-0', 'Content-Type: text/plain', 'Content-Range: bytes 0-1/10', '', '01',
          '--retter-part-0--', ''
        ].join('\r\n')
      }),
    {
      name: 'A 404 takes the last good response away',
      id: 'none-after-404',
      requests: [
        { response_headers: [['Cache-Control', 'max-age=1']], ...WAIT },
        {
          response_status: [404, 'Not Found'],
          response_headers: [['Cache-Control', 'max-age=1']],
          expected_type: 'not_cached',
          ...WAIT
        },
        { disconnect: true, expected_status: 502, check_body: false }
      ]
    },
    {
      name: 'Campaign parameters do not split the key, others do',
      id: 'key-campaign',
      requests: [
        {
          query_arg: 'a=1',
          response_headers: [['Cache-Control', 'max-age=3600']],
          setup: true
        },
        { query_arg: 'utm_source=x&a=1&gclid=y', expected_type: 'cached' }
      ]
    },
    {
      name: 'What is escaped is not the same as what is not',
      id: 'key-escaped',
      requests: [
        {
          filename: 'a%2Fb',
          response_headers: [['Cache-Control', 'max-age=3600']],
          setup: true
        },
        { filename: 'a/b', expected_type: 'not_cached' }
      ]
    }
  ]
}
