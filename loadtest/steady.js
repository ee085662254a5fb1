// How long does an answer take at a rate the server must hold all day? RATE posts a second of BYTES bytes, whether or
// not earlier ones have been answered, so that a stall shows as latency instead of as fewer requests.

import { document, options as common, post, url } from './lib.js';

const rate = Number(__ENV.RATE || 2000);
const bytes = Number(__ENV.BYTES || 1024);
const duration = __ENV.DURATION || '30s';

export const options = common(
  { steady: { executor: 'constant-arrival-rate', rate, timeUnit: '1s', duration, preAllocatedVUs: 64, maxVUs: 256 } },
  { http_req_duration: ['med<5', 'p(99)<50'], dropped_iterations: [`rate<${rate / 100}`], requests_shed: ['count==0'] },
);

export default function () {
  post('steady', url.sink, document(bytes));
}
