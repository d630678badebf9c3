// node-mqtt against the broker: exchange.js URL PROTOCOL_VERSION. Prints what was seen as one line of JSON.
'use strict'
const mqtt = require('mqtt')

const [url, version] = [process.argv[2], Number(process.argv[3])]
const topic = `node/${process.pid}`
const seen = { got: [], will: null, retained: null, offline: [] }
const v5 = version === 5

const connect = (id, more = {}) => mqtt.connectAsync(url, { clientId: `${topic}-${id}`, protocolVersion: version, reconnectPeriod: 0, ...more })

// Resolves with the next `count` messages.
function messages (client, count) {
  return new Promise(resolve => {
    const got = []
    const take = (t, payload, packet) => {
      got.push([t.slice(topic.length), payload.toString(), packet.qos, packet.retain, (packet.properties || {}).userProperties || null])
      if (got.length === count) {
        client.removeListener('message', take)
        resolve(got)
      }
    }
    client.on('message', take)
  })
}

async function exchange () {
  const sub = await connect('sub')
  const pub = await connect('pub')
  await sub.subscribeAsync(`${topic}/q/+`, { qos: 2 })
  const all = messages(sub, 3)
  for (const qos of [0, 1, 2]) {
    await pub.publishAsync(`${topic}/q/${qos}`, `qos ${qos}`, { qos, properties: v5 ? { userProperties: { k: 'v' } } : undefined })
  }
  seen.got = await all
  await sub.unsubscribeAsync(`${topic}/q/+`)
  await pub.publishAsync(`${topic}/kept`, 'kept', { qos: 1, retain: true })
  const kept = messages(sub, 1)
  await sub.subscribeAsync(`${topic}/kept`)
  seen.retained = (await kept)[0]
  await pub.publishAsync(`${topic}/kept`, '', { qos: 1, retain: true })

  await sub.subscribeAsync(`${topic}/will`, { qos: 1 })
  const dying = await connect('dying', { will: { topic: `${topic}/will`, payload: 'gone', qos: 1, retain: false } })
  const gone = messages(sub, 1)
  dying.stream.destroy()
  // The cleared value may still be on its way to the subscription above.
  seen.will = (await gone)[0]
  if (seen.will[0] === '/kept') seen.will = (await messages(sub, 1))[0]
  await sub.endAsync()
  await pub.endAsync()
}

async function offline () {
  const kept = { clean: false, properties: v5 ? { sessionExpiryInterval: 60 } : undefined }
  const first = await connect('sleeper', kept)
  await first.subscribeAsync(`${topic}/o`, { qos: 1 })
  await first.endAsync()
  const pub = await connect('pub2')
  for (let i = 0; i < 5; i++) await pub.publishAsync(`${topic}/o`, String(i), { qos: 1 })
  await pub.endAsync()
  const again = mqtt.connect(url, { clientId: `${topic}-sleeper`, protocolVersion: version, reconnectPeriod: 0, ...kept })
  seen.offline = (await messages(again, 5)).map(m => m[1])
  await again.endAsync()
}

exchange().then(offline).then(() => console.log(JSON.stringify(seen)), error => {
  console.error(error)
  process.exit(1)
})
