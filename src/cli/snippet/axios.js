// Posts a JSON file to the webhook "{{name}}".
// Needs Node.js 18 or newer and `npm install axios`. Run: node post.js [FILE]
'use strict';
const { readFileSync } = require('node:fs');
const axios = require('axios');

@secret const secret = process.env.INRUSH_SECRET;
@secret if (!secret) {
@secret   console.error('INRUSH_SECRET: set it to the secret of the webhook');
@secret   process.exit(1);
@secret }
@secret
const file = process.argv[2];
const body = file ? readFileSync(file) : Buffer.from('{"hello":"world"}');

axios
  .post('{{url}}', body, {
    headers: {
      'content-type': 'application/json',
@secret       'x-bp-secret': secret,
    },
    maxBodyLength: Infinity, // otherwise 10 MB
    validateStatus: () => true,
  })
  .then((response) => {
    console.log(response.status, response.headers['x-event-id'] ?? '');
    if (response.status < 200 || response.status > 299) {
      console.error(response.data);
      process.exitCode = 1;
    }
  })
  .catch((error) => {
    console.error(error.message || error.code);
    process.exitCode = 1;
  });
