// Does the server do what it says, under a little concurrency? Each iteration walks the table of answers once.

import { check } from 'k6';
import { document, json, options as common, post, secret, send, url } from './lib.js';

export const options = common(
  { walk: { executor: 'shared-iterations', vus: 4, iterations: 100, maxDuration: '60s' } },
  { http_req_duration: ['p(99)<1000'], iterations: ['count==100'], requests_shed: ['count==0'] },
);

export default function () {
  // What is taken.
  post('a small document', url.kept, document(200));
  post('a document of 64 KiB', url.kept, document(65536));
  post('a document of 1 MiB', url.kept, document(1 << 20));
  post('escapes', url.kept, document(300, { text: 'a "quoted" \\ line\nand a \u20ac \u{1f600}' }));
  post('an empty body', `${url.kept}/suffix?a=1&b[]=2&b[]=3`, null);
  send('a query alone', 'GET', `${url.kept}/suffix?a[b]=c`, null, {}, [200]);
  send('a label that lies', 'POST', url.kept, document(100), { 'content-type': 'application/x-www-form-urlencoded' }, [200]);
  send('the right secret', 'POST', url.guarded, document(200), { ...json, 'x-bp-secret': secret }, [200]);
  post('a body within a small limit', url.small, document(4000));

  // What is refused, and by whom.
  const bad = post('no JSON', url.kept, '{"a":1,}', [400]);
  check(bad, { 'no JSON: says where': () => bad.json('code') === 'invalid_json' && bad.json('offset') === 7 });
  post('no secret', url.guarded, document(200), [401]);
  send('a wrong secret', 'POST', url.guarded, document(200), { ...json, 'x-bp-secret': `${secret}x` }, [401]);
  send('a foreign page', 'POST', url.kept, document(200), { ...json, origin: 'https://evil.example' }, [403]);
  post('an unknown id', url.unknown, document(200), [404]);
  const put = send('another method', 'PUT', url.kept, document(200), json, [405]);
  check(put, { 'another method: Allow names what is': () => /\bPOST\b/.test(put.got('allow') || '') });
  post('a body over a small limit', url.small, document(5000), [413]);

  // What a browser asks first.
  const asks = { origin: 'https://allowed.example', 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-bp-secret' };
  const preflight = send('a preflight', 'OPTIONS', url.guarded, null, asks, [204]);
  check(preflight, { 'a preflight: the origin is echoed': () => preflight.got('access-control-allow-origin') === asks.origin });
}
