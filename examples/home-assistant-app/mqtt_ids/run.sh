#!/usr/bin/with-contenv bashio
# Starts the agent at the broker that the Supervisor names, with what was chosen in the app's options.
set -e

CONFIG=${MQTT_IDS_CONFIG:-/run/mqtt-ids.yaml}

if ! bashio::services.available mqtt; then
    bashio::exit.nok "There is no MQTT broker: install the app Mosquitto broker and start it first."
fi

scheme=mqtt
if [ "$(bashio::services mqtt ssl)" = true ]; then
    scheme=mqtts
fi
# JSON is YAML; jq quotes what names may hold, and the password stays out of it.
jq --null-input \
    --arg scheme "$scheme" \
    --arg host "$(bashio::services mqtt host)" \
    --arg port "$(bashio::services mqtt port)" \
    --arg user "$(bashio::services mqtt username)" \
    --argjson discovery "$(bashio::config discovery)" \
    '{
        broker: "\($scheme)://\($user | @uri)@\($host):\($port)",
        state_dir: "/data/state",
        home_assistant: {discovery: $discovery}
    }' > "$CONFIG"

MQTT_IDS_PASSWORD=$(bashio::services mqtt password)
export MQTT_IDS_PASSWORD

exec /opt/mqtt-ids/bin/mqtt-ids-agent --config "$CONFIG"
