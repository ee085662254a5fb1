// Do large uploads go through, whole, and do their neighbours notice? Two uploaders send 1, 10 and 100 MB in turn,
// while small posts arrive 100 times a second and must stay fast.

import { check } from 'k6';
import { document, json, options as common, post, send, url } from './lib.js';

const MB = 1000 * 1000;
// The default limit, to the byte.
const LIMIT = 100 * 1024 * 1024;

export const options = common(
  {
    uploads: { executor: 'per-vu-iterations', exec: 'uploads', vus: 2, iterations: 2, maxDuration: '120s' },
    neighbours: { executor: 'constant-arrival-rate', exec: 'neighbours', rate: 100, timeUnit: '1s', duration: '20s', preAllocatedVUs: 8, maxVUs: 32 },
  },
  {
    // k6 makes and sends the 100 MB on the same CPUs: this bounds a stall, not the server alone.
    'http_req_duration{scenario:neighbours}': ['p(95)<100', 'p(99)<500'],
    'http_req_duration{scenario:uploads}': ['max<30000'],
    requests_shed: ['count==0'],
  },
);

export function uploads() {
  for (const bytes of [MB, 10 * MB, 100 * MB]) post(`${bytes / MB} MB`, url.sink, document(bytes));
  post('the limit, to the byte', url.sink, document(LIMIT));
  // The declared length alone decides: the answer comes while the body is still being sent.
  const over = send('one byte over', 'POST', url.sink, document(LIMIT + 1), json, [413]);
  check(over, { 'one byte over: names the limit': () => over.json('code') === 'body_too_large' });
}

export function neighbours() {
  post('neighbour', url.sink, document(1024));
}
