"""A pymodbus server on a serial port as device: port, "rtu" or "ascii", unit. Says "ready" on stdout; runs until it is killed."""

import asyncio
import sys

from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.device import ModbusDeviceIdentification
from pymodbus.framer.ascii_framer import ModbusAsciiFramer
from pymodbus.framer.rtu_framer import ModbusRtuFramer
from pymodbus.server.async_io import ModbusSerialServer


async def main(port, mode, unit):
    block = ModbusSequentialDataBlock(0, list(range(1000, 1100)))
    device = ModbusSlaveContext(zero_mode=True, hr=block, ir=block)
    names = {"VendorName": "Foreign Meters", "ProductCode": "FM-7", "MajorMinorRevision": "2.1"}
    server = ModbusSerialServer(
        ModbusServerContext(slaves={unit: device}, single=False),
        framer={"rtu": ModbusRtuFramer, "ascii": ModbusAsciiFramer}[mode],
        identity=ModbusDeviceIdentification(info_name=names),
        port=port,
        baudrate=9600,
        ignore_missing_slaves=True,
    )
    await server.start()
    print("ready", flush=True)
    await server.serve_forever()


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
