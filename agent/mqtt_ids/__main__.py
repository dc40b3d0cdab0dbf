"""`python -m mqtt_ids` is the command `mqtt-ids`."""

if __name__ == "__main__":
    from mqtt_ids.cli import main

    main()
