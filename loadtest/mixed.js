// Does everything still hold when it comes at once? Senders of every kind, good and bad, for half a minute; every event
// that was promised must stand in the file at the end.

import { document, json, options as common, post, secret, send, url } from './lib.js';

const duration = __ENV.DURATION || '30s';
const arriving = (exec, rate) => ({ executor: 'constant-arrival-rate', exec, rate, timeUnit: '1s', duration, preAllocatedVUs: 16, maxVUs: 128 });

export const options = common(
  {
    small: arriving('small', 600),
    medium: arriving('medium', 100),
    guarded: arriving('guarded', 100),
    queries: arriving('queries', 50),
    refused: arriving('refused', 100),
    megabyte: arriving('megabyte', 4),
  },
  { 'http_req_duration{scenario:small}': ['p(99)<100'], dropped_iterations: ['rate<10'], requests_shed: ['count==0'] },
);

export function small() {
  post('200 bytes', url.kept, document(200));
}

export function medium() {
  post('16 KiB', url.kept, document(16384));
}

export function megabyte() {
  post('1 MiB', url.sink, document(1 << 20));
}

export function guarded() {
  send('with secret', 'POST', url.guarded, document(1024), { ...json, 'x-bp-secret': secret }, [200]);
}

export function queries() {
  send('a query', 'GET', `${url.kept}/path?n=${Math.random()}&a[b]=c`, null, {}, [200]);
}

export function refused() {
  post('no JSON', url.kept, '[1,2', [400]);
  post('no secret', url.guarded, document(1024), [401]);
  post('an unknown id', url.unknown, document(200), [404]);
}
