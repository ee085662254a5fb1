// What happens to a calm sender when another one floods? 200/s before, PEAK/s for five seconds, 200/s after.
// In the flood an answer may be a 503 that says when to come back; afterwards everything is as before.

import { document, options as common, post, url } from './lib.js';

const peak = Number(__ENV.PEAK || 6000);
const calm = (startTime) => ({
  executor: 'constant-arrival-rate', exec: 'quiet', rate: 200, timeUnit: '1s', duration: '5s', startTime, preAllocatedVUs: 16, maxVUs: 64,
});

export const options = common(
  {
    before: calm('0s'),
    during: calm('5s'),
    flood: {
      executor: 'ramping-arrival-rate', exec: 'flood', startRate: 200, timeUnit: '1s', startTime: '5s', preAllocatedVUs: 200, maxVUs: 400,
      stages: [{ target: peak, duration: '1s' }, { target: peak, duration: '3s' }, { target: 200, duration: '1s' }],
    },
    after: calm('12s'),
  },
  {
    'http_req_duration{scenario:before}': ['p(99)<50'],
    'http_req_duration{scenario:during}': ['p(99)<500'],
    'http_req_duration{scenario:flood}': ['p(99)<1000'],
    'http_req_duration{scenario:after}': ['p(99)<50'],
  },
);

export function quiet() {
  post('calm', url.sink, document(1024), [200]);
}

export function flood() {
  post('flood', url.sink, document(1024), [200, 503]);
}
