"""An S3 server (moto) over TLS on the loopback that checks signatures, with one bucket, `trust`.

    s3_server.py FOLDER CERTIFICATE KEY

It prints its port, and the id and the secret of a user who may read. Then `put NAME…` on its standard input brings
files of FOLDER into the bucket, and `requests` prints the statuses of the requests since then.
"""
import os
import pathlib
import sys
import threading

FOLDER, CERTIFICATE, KEY = sys.argv[1:]
# What is done before the first signature is checked: everything of below.
SETUP = 4
os.environ['INITIAL_NO_AUTH_ACTION_COUNT'] = str(SETUP)

import boto3  # noqa: E402
from moto.server import DomainDispatcherApplication, create_backend_app  # noqa: E402
from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: E402

statuses = []


class Quiet(WSGIRequestHandler):
    def log_request(self, code='-', size='-'):
        statuses.append(str(code))


app = DomainDispatcherApplication(create_backend_app)
server = make_server('127.0.0.1', 0, app, threaded=True, ssl_context=(CERTIFICATE, KEY), request_handler=Quiet)
threading.Thread(target=server.serve_forever, daemon=True).start()


def client(service, key, secret):
    return boto3.client(service, endpoint_url=f'https://localhost:{server.port}', verify=CERTIFICATE,
                        region_name='eu-central-1', aws_access_key_id=key, aws_secret_access_key=secret)


iam = client('iam', 'nobody', 'nothing')
iam.create_user(UserName='fleet')
everything = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}'
iam.put_user_policy(UserName='fleet', PolicyName='all', PolicyDocument=everything)
key = iam.create_access_key(UserName='fleet')['AccessKey']
key, secret = key['AccessKeyId'], key['SecretAccessKey']
s3 = client('s3', key, secret)
s3.create_bucket(Bucket='trust', CreateBucketConfiguration={'LocationConstraint': 'eu-central-1'})
print(server.port, key, secret, flush=True)
for line in sys.stdin:
    command, *names = line.split()
    if command == 'put':
        for name in names:
            s3.put_object(Bucket='trust', Key=f'fleet/{name}', Body=(pathlib.Path(FOLDER) / name).read_bytes())
        statuses.clear()
        print('done', flush=True)
    else:
        print(*statuses, flush=True)
        statuses.clear()
